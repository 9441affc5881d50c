//! What was used before a process began, from what log entries say: whole days and hours from the
//! roll-ups, the rest from the entries themselves. A question about a hundred thousand keys is one statement.

use std::collections::HashMap;

use domain::{Seed, SeedQuestion, Unit, Whose};
use sea_orm::{ConnectionTrait, Statement};

use crate::{
    Grain, Result, Store,
    link::Transaction,
    statistics::{Breakdown, SUMMED_MAX, floors, plan},
    uncount,
};

/// By what use is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum By {
    Key,
    ServiceKey,
    User,
    Upstream,
    Model,
    All,
}

/// What somebody used.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    requests: u64,
    input: u64,
    output: u64,
    cost: u64,
}

/// Who it was: an id, or a model.
type Who = (i64, String);

impl Store {
    /// What was used by calls that began before `until_us`, for each question to which the answer
    /// is not nothing. Calls that failed do not count, as they give back what they reserved.
    /// Calls by model are only known for as long as log entries are kept.
    pub async fn used(&self, questions: &[SeedQuestion], until_us: i64) -> Result<Vec<Seed>> {
        let mut asked: HashMap<(By, i64), Vec<&SeedQuestion>> = HashMap::new();
        for question in questions {
            asked.entry((by(&question.who), question.start_us)).or_default().push(question);
        }
        let tx = self.0.db.read().await?;
        let mut seeds = Vec::new();
        for ((by, start), questions) in asked {
            let used = used_since(&tx, by, start, until_us).await?;
            for question in questions {
                let amount = amount(question, &used);
                if amount > 0 {
                    seeds.push(Seed { counter: question.counter.clone(), amount });
                }
            }
        }
        Ok(seeds)
    }
}

fn by(who: &Whose) -> By {
    match who {
        Whose::Key(_) | Whose::Group { .. } => By::Key,
        Whose::ServiceKey(_) => By::ServiceKey,
        Whose::User(_) => By::User,
        Whose::Upstream(_) => By::Upstream,
        Whose::Model(_) => By::Model,
        Whose::Global => By::All,
    }
}

fn amount(question: &SeedQuestion, used: &HashMap<Who, Used>) -> u64 {
    let of = |id: i64| used.get(&(id, String::new())).copied().unwrap_or_default();
    let one = |used: Used| match question.unit {
        Unit::Requests => used.requests,
        Unit::TokensIn => used.input,
        Unit::TokensOut => used.output,
        Unit::Tokens => used.input.saturating_add(used.output),
        Unit::Cost => used.cost,
        Unit::Concurrency => 0,
    };
    match &question.who {
        Whose::Key(id) => one(of(id.0)),
        Whose::Group { keys, .. } => {
            keys.iter().fold(0, |sum, key| sum.saturating_add(one(of(key.0))))
        }
        Whose::ServiceKey(id) => one(of(id.0)),
        Whose::User(id) => one(of(id.0)),
        Whose::Upstream(id) => one(of(id.0)),
        Whose::Model(name) => one(used.get(&(0, name.clone())).copied().unwrap_or_default()),
        Whose::Global => one(of(0)),
    }
}

/// Everybody's use from `start` to `until`, told apart.
async fn used_since(
    tx: &Transaction,
    by: By,
    start: i64,
    until: i64,
) -> Result<HashMap<Who, Used>> {
    let mut used = HashMap::new();
    let (first, last) = (Grain::Hour.ceil(start), Grain::Hour.floor(until));
    // Sums know the model that was used, not the one that was asked for.
    if by == By::Model || first >= last {
        add(tx, &entries(by), start, until, &mut used).await?;
        return Ok(used);
    }
    if start < first {
        add(tx, &entries(by), start, first, &mut used).await?;
    }
    for segment in plan(first, last, Grain::Hour, Grain::Day, floors(tx).await?) {
        let sql = sums(by, segment.grain);
        add(tx, &sql, segment.from, segment.to, &mut used).await?;
    }
    add(tx, &entries(by), last, until, &mut used).await?;
    Ok(used)
}

async fn add(
    tx: &Transaction,
    sql: &str,
    from: i64,
    to: i64,
    used: &mut HashMap<Who, Used>,
) -> Result<()> {
    let values = [from.into(), to.into()];
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    for row in tx.query_all_raw(statement).await? {
        let number =
            |i: usize| row.try_get_by_index::<Option<i64>>(i).map(Option::unwrap_or_default);
        let who = (number(0)?, row.try_get_by_index::<String>(1)?);
        let sum: &mut Used = used.entry(who).or_default();
        for (sum, i) in
            [(&mut sum.requests, 2), (&mut sum.input, 3), (&mut sum.output, 4), (&mut sum.cost, 5)]
        {
            *sum = sum.saturating_add(uncount(number(i)?));
        }
    }
    Ok(())
}

/// The columns by which use is told apart.
fn who(by: By) -> (&'static str, &'static str) {
    match by {
        By::Key => ("provider_key_id", "''"),
        By::ServiceKey => ("service_key_id", "''"),
        By::User => ("owner_id", "''"),
        By::Upstream => ("upstream_id", "''"),
        By::Model => ("CAST(0 AS BIGINT)", "COALESCE(model_asked, '')"),
        By::All => ("CAST(0 AS BIGINT)", "''"),
    }
}

fn sums(by: By, grain: Grain) -> String {
    let (breakdown, id) = match by {
        By::Key => (Breakdown::Keys, "key_id"),
        By::ServiceKey => (Breakdown::Callers, "key_id"),
        By::User => (Breakdown::Callers, "owner_id"),
        By::Upstream => (Breakdown::All, "upstream_id"),
        By::Model | By::All => (Breakdown::All, "CAST(0 AS BIGINT)"),
    };
    let (grain, breakdown) = (grain.code(), breakdown.code());
    format!(
        "SELECT {id}, '', CAST(SUM(requests - errors) AS BIGINT), \
         CAST(SUM(input_tokens) AS BIGINT), CAST(SUM(output_tokens) AS BIGINT), \
         CAST(SUM(cost_nano) AS BIGINT) FROM usage_rollups WHERE grain = {grain} \
         AND breakdown = {breakdown} AND bucket_us >= $1 AND bucket_us < $2 GROUP BY 1, 2"
    )
}

fn entries(by: By) -> String {
    let (id, model) = who(by);
    // As the sums by the hour count them: a number that was made up must not overflow the sum.
    let most =
        |column| format!("CASE WHEN {column} > {SUMMED_MAX} THEN {SUMMED_MAX} ELSE {column} END");
    let (input, output, cost) = (most("input_tokens"), most("output_tokens"), most("cost_nano"));
    format!(
        "SELECT {id}, {model}, CAST(SUM(CASE WHEN failed THEN 0 ELSE 1 END) AS BIGINT), \
         CAST(SUM({input}) AS BIGINT), CAST(SUM({output}) AS BIGINT), \
         CAST(SUM({cost}) AS BIGINT) FROM request_logs \
         WHERE started_us >= $1 AND started_us < $2 GROUP BY 1, 2"
    )
}
