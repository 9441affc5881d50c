//! What comes next of an answer: more of it, its end, or that the client or its right is gone.

use crate::{
    attempt::{exchange::Answer, upload::UploadFault},
    client::Client,
    gateway::lease::Lease,
    http1::ReadError,
    refusal::revoked::Revoked,
};

/// What came next.
pub(crate) enum Next {
    Some,
    End,
    Broken(ReadError),
    Gone,
    /// The caller may not go on.
    Revoked(Revoked),
}

/// Waits for more of the answer, while the client may leave or still be sending, and until `lease`
/// is over. May be dropped at any time.
pub(crate) async fn next(
    client: &mut Client<'_>,
    answer: &mut Answer,
    lease: Option<&Lease>,
) -> Next {
    // Asked for at once: where more of the answer is always there nobody would wait for it.
    if let Some(why) = lease.and_then(Lease::over) {
        return Next::Revoked(why);
    }
    // An answer whose first piece is slow to come shows its head meanwhile.
    let flush = client.has_unsent();
    let Answer { incoming, upload, wr, .. } = answer;
    loop {
        tokio::select! {
            biased;
            more = incoming.pull() => return came(more),
            () = std::future::ready(()), if flush => return match client.flush().await {
                Ok(()) => Next::Some,
                Err(_) => Next::Gone,
            },
            step = upload.step(client, wr) => match step {
                Ok(()) => {}
                Err(UploadFault::Client(_)) => return Next::Gone,
                // The provider wants no more of it; its answer is what counts.
                Err(UploadFault::Provider) => return came(incoming.pull().await),
            },
            Some(why) = ends(lease), if lease.is_some() => return Next::Revoked(why),
        }
    }
}

async fn ends(lease: Option<&Lease>) -> Option<Revoked> {
    Some(lease?.ends().await)
}

fn came(more: Result<bool, ReadError>) -> Next {
    match more {
        Ok(true) => Next::Some,
        Ok(false) => Next::End,
        Err(error) => Next::Broken(error),
    }
}
