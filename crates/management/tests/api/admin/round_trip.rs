//! What is exported whole and imported again is the same.

use axum::http::Method;
use domain::{KeyState, Period, ProviderKeyId, Quota, Unit, UpstreamId, UserId};
use proptest::{
    collection::vec,
    option,
    prelude::{Strategy, any, prop_oneof},
    sample::select,
    strategy::ValueTree as _,
    test_runner::TestRunner,
};
use store::{MaskedKey, Page, ProviderKeyFilter};

use crate::app::{App, Client};

/// Keys of one case; each has a name and a secret of its own.
const KEYS: usize = 40;

/// Texts as people write them, with all that means something in CSV, in a spreadsheet or in JSON.
fn text(most: usize) -> impl Strategy<Value = String> {
    let odd =
        select(vec!['"', ',', '\'', '=', '+', '-', '@', '\t', '\r', '\n', ' ', '\\', '#', ';']);
    let plain = select(vec!['a', 'Z', '0', 'ü', '鍵', '😀', '\u{a0}', '\u{feff}', '{', '[']);
    vec(prop_oneof![odd, plain], 0..most).prop_map(|chars| chars.into_iter().collect())
}

/// Quotas of one key: of no unit and period twice, and none that the short form says.
fn quotas() -> impl Strategy<Value = Vec<Quota>> {
    let units = [Unit::Tokens, Unit::TokensIn, Unit::TokensOut, Unit::Cost];
    let zone = select(vec![chrono_tz::Asia::Shanghai, chrono_tz::UTC]);
    let periods = Period::ALL.to_vec();
    let one = (select(periods), 1..1_000_000_000_000_000_u64, option::of(zone));
    (0..=units.len(), vec(one, units.len())).prop_map(move |(count, all)| {
        let quota = |(unit, (period, limit, timezone))| Quota { unit, period, limit, timezone };
        units.into_iter().zip(all).map(quota).take(count).collect()
    })
}

fn key() -> impl Strategy<Value = MaskedKey> {
    let state = select(KeyState::ALL.to_vec());
    let total = option::of(1..u64::from(u32::MAX));
    let group = option::of(text(20).prop_filter("a group has a name", |text| !text.is_empty()));
    let secret = vec(0x21..=0x7e_u8, 12..60);
    (text(24), secret, state, 1..=1000_u32, any::<bool>(), total, quotas(), group, text(60))
        .prop_map(|(name, secret, state, weight, enable, total, quotas, group, note)| {
            let secret = String::from_utf8(secret).unwrap();
            let (id, owner) = (ProviderKeyId(0), UserId(0));
            let mut new = MaskedKey::new(id, owner, UpstreamId(1), name, secret.into());
            (new.state, new.weight) = (state, weight);
            (new.enable_quota, new.quota_total) = (enable && total.is_some(), total);
            (new.quotas, new.group, new.note) = (quotas, group, note);
            new.tags = (0..weight % 3).map(|i| format!("tag-{i}")).collect();
            new
        })
}

/// All that a key has but its id, its pool and its times.
fn of_key(row: &MaskedKey) -> impl PartialEq + std::fmt::Debug + use<> {
    let row = row.clone();
    (
        (row.name, row.mask, row.state, row.weight),
        (row.enable_quota, row.quota_total, row.quotas, row.group, row.note, row.tags),
    )
}

async fn exported(admin: &Client, upstream: i64, format: &str) -> String {
    let query = format!("upstream_id={upstream}&format={format}&reveal=true");
    let answer = admin.get(&format!("/api/admin/keys/export?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text
}

#[tokio::test]
async fn an_export_that_is_imported_is_the_same_in_every_form() {
    let app = App::start().await;
    let admin = app.admin().await;
    let from = app.upstream(&admin, "from").await;
    let mut runner = TestRunner::deterministic();
    for number in 0..KEYS {
        let mut new = key().new_tree(&mut runner).unwrap().current();
        new.upstream = UpstreamId(from);
        new.name = format!("{}{number}{}", new.name, if number % 2 == 0 { " " } else { "" });
        app.store.create(&auth::Actor::System, |_, _| new, |_| Ok(())).await.unwrap();
    }
    let rows = async |upstream: i64| {
        let page = Page::first(Page::LIMIT_MAX);
        let upstream = Some(UpstreamId(upstream));
        let filter = ProviderKeyFilter { upstream, ..ProviderKeyFilter::default() };
        let view = app.store.seen_by(&auth::Actor::System);
        let listed = view.list::<MaskedKey>(&filter, page).await.unwrap();
        listed.items.iter().map(|stored| of_key(&stored.value)).collect::<Vec<_>>()
    };
    for (format, kind) in [("csv", "text/csv"), ("json", "application/json")] {
        let to = app.upstream(&admin, format).await;
        let file = exported(&admin, from, format).await;
        let by = admin.clone().with("content-type", kind);
        let path = format!("/api/admin/keys/import?upstream_id={to}");
        let report = by.send(Method::POST, &path, Some(file)).await.expect(200);
        assert_eq!(report["created"], KEYS, "{report}");
        assert_eq!(rows(to).await, rows(from).await, "{format}");
        // The secrets are the same too: what is exported from there is the same file but for ids.
        let secrets = async |upstream| exported(&admin, upstream, "lines").await;
        assert_eq!(secrets(to).await, secrets(from).await, "{format}");
    }
}
