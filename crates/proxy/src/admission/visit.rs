//! A call of a known caller, from the moment that the caller is known: whatever ends it, it is entered
//! in the log by this one value.
//!
//! The intent is in the journal before a provider is asked. A visit that is dropped before its call
//! was let in leaves nothing; afterwards its permit enters it as cut short.

use std::sync::Arc;

use domain::{
    Caller, Dialect,
    log::{Considered, Outcome},
};

use crate::{
    admission::{demand::Demand, entry::Entry, estimate, permit::Permit},
    client::Client,
    door::Door,
    gateway::{Gateway, World},
    journal::{Health, Intent},
    refusal::Refusal,
    request::inbound::{Call, named_model},
    routing::Plan,
};

/// A call of a known caller.
pub(crate) struct Visit<'a> {
    gateway: &'a Arc<Gateway>,
    pub(crate) caller: &'a Caller,
    /// The client's dialect; none outside of model routes.
    dialect: Option<Dialect>,
    /// The model that is asked for, until the call is let in.
    model: Option<String>,
    /// Once the call is let in, or was refused by a limit.
    permit: Option<Permit>,
}

impl<'a> Visit<'a> {
    /// From here on every end of the call is entered.
    pub(crate) fn open(gateway: &'a Arc<Gateway>, caller: &'a Caller, door: &Door) -> Self {
        let dialect = match door {
            Door::Model(endpoint) => Some(endpoint.dialect),
            _ => None,
        };
        Self { gateway, caller, dialect, model: None, permit: None }
    }

    /// The call asks for this model.
    pub(crate) fn asks_for(&mut self, model: Option<&String>) {
        self.model = model.cloned();
    }

    /// Lets the call in, and notes that it is about to be sent. The entry has what the `plan`
    /// considered.
    pub(crate) async fn admit(
        &mut self,
        world: &World,
        client: &Client<'_>,
        call: &Call,
        plan: &mut Plan,
    ) -> Result<&mut Permit, Refusal> {
        let considered = std::mem::take(&mut plan.considered);
        let (gateway, caller) = (self.gateway, self.caller);
        let entry = self.entry(client, considered);
        let permit = self.permit.insert(Permit::new(gateway, entry));
        permit.metered = world.limits.meters(plan.targets.iter().map(|t| t.entry.upstream.id));
        permit.revision = world.snapshot.revision.0;
        permit.demand = Demand::of(call, &client.head, plan, permit.metered);
        if permit.metered {
            permit.named = named_model(call, &client.head);
            permit.estimate = estimate::estimate(&permit.demand, plan, permit.named.as_deref());
        }
        let reserved = permit.reserve(world, client, caller, call).await;
        reserved.map_err(|refused| Refusal::Limited(Box::new(refused)))?;
        let entry = permit.entry.log.as_ref().expect("a new permit has its entry");
        let intent = Intent {
            id: entry.id,
            started_us: entry.started_us,
            request_id: &entry.request_id,
            service_key: entry.service_key,
            service_key_name: &entry.service_key_name,
            owner: entry.owner,
            model_asked: entry.model_asked.as_deref(),
            dialect: entry.dialect,
            method: &entry.method,
            path: &entry.path,
            client_ip: entry.client_ip.as_deref(),
            bytes_in: entry.bytes_in,
            origin: entry.origin.texts(),
            reserved: permit.reservation(),
        };
        if let Err(error) = gateway.journal.intend(&intent).await {
            permit.forget();
            return Err(error.into());
        }
        Ok(permit)
    }

    /// Enters a call that was refused or failed, where that was not done by whoever answered it.
    pub(crate) async fn close<T>(&mut self, client: &Client<'_>, outcome: &Result<T, Refusal>) {
        let Err(refusal) = outcome else { return };
        if let Some(permit) = &mut self.permit {
            if permit.entry.is_open() {
                permit.entry.refused(refusal);
                permit.close(outcome_of(refusal), client, 0).await;
            }
        } else if self.gateway.journal.health() == Health::Good {
            // Calls that are let in come first; what does nothing must not fill what is left.
            let mut permit = Permit::new(self.gateway, self.entry(client, Vec::new()));
            permit.entry.refused(refusal);
            permit.close(Outcome::Refused, client, 0).await;
        }
    }

    fn entry(&mut self, client: &Client<'_>, considered: Vec<Considered>) -> Entry {
        let (settings, model) = (&self.gateway.settings, self.model.take());
        Entry::new(settings, client, self.caller, self.dialect, model, considered)
    }
}

/// How a call ended that was let in.
fn outcome_of(refusal: &Refusal) -> Outcome {
    match refusal {
        Refusal::ClientGone => Outcome::ClientGone,
        Refusal::TimedOut => Outcome::TimedOut,
        Refusal::NoUsableKey(_)
        | Refusal::AllKeysRest { .. }
        | Refusal::AllKeysFail { .. }
        | Refusal::UpstreamRests { .. }
        | Refusal::UpstreamBusy { .. }
        | Refusal::Limited(_)
        | Refusal::TooLargeForKeys(_)
        | Refusal::UnpricedForKeys(_)
        | Refusal::Script
        | Refusal::Unsayable(_) => Outcome::Refused,
        _ => Outcome::Failed,
    }
}
