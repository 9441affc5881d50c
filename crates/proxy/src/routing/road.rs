//! In which dialect a place is asked: in the client's own, byte for byte, where that can be; in
//! another one where the call can be said in it.

use domain::{Dialect, Provider, Upstream};

use crate::door::Job;

/// How a call goes to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    /// In the client's own bytes.
    AsItIs,
    /// Said again in this dialect.
    Into(Dialect),
}

/// The road of a call in `dialect` to `upstream`; none where there is none. `job` is what is to be
/// done, if that may be asked for in other dialects; `forced` is the dialect that the target is to
/// be asked in.
pub(crate) fn road(
    dialect: Dialect,
    job: Option<Job>,
    upstream: &Upstream,
    forced: Option<Dialect>,
) -> Option<Road> {
    let speaks = |dialect| upstream.dialects.contains(&dialect);
    let forced = forced.filter(|forced| job.is_some_and(|job| can_do(*forced, job)));
    if speaks(dialect) && forced.is_none_or(|forced| same(forced, dialect, job)) {
        return Some(Road::AsItIs);
    }
    let job = job?;
    if let Some(forced) = forced {
        return (!same(forced, dialect, Some(job))).then_some(Road::Into(forced));
    }
    let mut order = preference(upstream.provider).into_iter();
    order
        .find(|other| speaks(*other) && can_do(*other, job) && !same(*other, dialect, Some(job)))
        .map(Road::Into)
}

/// Which of several dialects is taken: the one that says most. Servers that are only compatible
/// with OpenAI know Chat Completions best.
fn preference(provider: Provider) -> [Dialect; 4] {
    use Dialect::{AnthropicMessages, Gemini, OpenaiChat, OpenaiResponses};
    match provider {
        Provider::Openai => [OpenaiResponses, OpenaiChat, AnthropicMessages, Gemini],
        _ => [AnthropicMessages, Gemini, OpenaiChat, OpenaiResponses],
    }
}

/// Whether a dialect can be asked to do this.
fn can_do(dialect: Dialect, job: Job) -> bool {
    match job {
        Job::Generate | Job::Count => true,
        Job::Embed => dialect != Dialect::AnthropicMessages,
    }
}

/// Whether two dialects are one for this job: OpenAI has one way to ask for vectors.
fn same(one: Dialect, other: Dialect, job: Option<Job>) -> bool {
    let openai = |d| matches!(d, Dialect::OpenaiChat | Dialect::OpenaiResponses);
    one == other || (job == Some(Job::Embed) && openai(one) && openai(other))
}

#[cfg(test)]
mod tests {
    use domain::{BaseUrl, UpstreamId, UserId};

    use super::*;

    #[test]
    fn the_clients_own_dialect_comes_first_and_a_forced_one_before_it() {
        use Dialect::{AnthropicMessages as A, Gemini as G, OpenaiChat as C, OpenaiResponses as R};
        use Job::{Count, Embed, Generate};
        use Road::{AsItIs, Into};
        let check = |client, job, speaks: &[Dialect], forced, wanted| {
            let base = BaseUrl::parse("https://here.test").unwrap();
            let mut upstream = Upstream::new(UpstreamId(1), UserId(1), "up", base);
            upstream.dialects = speaks.to_vec();
            let found = road(client, job, &upstream, forced);
            assert_eq!(found, wanted, "{client} {job:?} at {speaks:?}, {forced:?}");
        };
        check(C, Some(Generate), &[C, R], None, Some(AsItIs));
        check(C, Some(Generate), &[C, R], Some(R), Some(Into(R)));
        check(R, Some(Generate), &[C, R], Some(R), Some(AsItIs));
        check(A, Some(Generate), &[C, R], None, Some(Into(C)));
        check(G, Some(Generate), &[C, A], None, Some(Into(A)));
        check(R, Some(Generate), &[C], None, Some(Into(C)));
        check(R, Some(Generate), &[G], None, Some(Into(G)));
        check(A, Some(Count), &[C], None, Some(Into(C)));
        check(C, Some(Embed), &[A], None, None);
        check(C, Some(Embed), &[G, A], None, Some(Into(G)));
        check(C, Some(Embed), &[C, R], Some(R), Some(AsItIs));
        check(C, Some(Embed), &[R], None, None);
        check(G, Some(Embed), &[A, C], Some(A), Some(Into(C)));
        check(C, None, &[A], None, None);
        check(C, None, &[C, A], Some(A), Some(AsItIs));
    }

    #[test]
    fn openais_own_models_are_asked_by_responses() {
        let base = BaseUrl::parse("https://api.openai.com").unwrap();
        let upstream = Upstream::new(UpstreamId(1), UserId(1), "up", base);
        let found = road(Dialect::AnthropicMessages, Some(Job::Generate), &upstream, None);
        assert_eq!(found, Some(Road::Into(Dialect::OpenaiResponses)));
    }
}
