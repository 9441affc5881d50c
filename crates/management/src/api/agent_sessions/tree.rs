//! Trees of agents and of sessions, written as lists: each item is followed by those below it, with the
//! depth at which it stands. What a client says in a circle is listed at the top.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use store::{AgentPart, SessionSum};
use utoipa::ToSchema;

use super::sums::SessionSums;

/// An agent of a session: the sums of its calls.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Agent {
    /// The id that the client gave it; `null` for the main agent.
    agent: Option<String>,
    /// The agent that started it; `null` for the main agent, and for those that it started.
    parent_agent: Option<String>,
    /// How far below the main agent it stands: 0 for the main agent itself.
    depth: usize,
    /// Its models, the first used first.
    models: Vec<String>,
    #[serde(flatten)]
    sums: SessionSums,
}

/// An agent, the one that started it, its models and its sums.
type Known = (Option<String>, Option<String>, Vec<String>, SessionSum);

/// The agents of these parts as a tree, the main one first.
pub(super) fn agents(parts: Vec<AgentPart>) -> Vec<Agent> {
    let mut known: Vec<Known> = Vec::new();
    for part in parts {
        let models = part.model.into_iter().collect();
        match known.iter_mut().find(|(agent, ..)| *agent == part.agent) {
            Some((_, parent, all, sum)) => {
                *parent = parent.take().or(part.parent);
                all.extend::<Vec<String>>(models);
                add(sum, &part.sum);
            }
            None => known.push((part.agent, part.parent, models, part.sum)),
        }
    }
    // The main agent has no name; those whose parent is not known were started by it.
    let names: HashSet<&str> = known.iter().filter_map(|(agent, ..)| agent.as_deref()).collect();
    let parent_of = |(agent, parent, ..): &Known| match agent {
        None => None,
        Some(agent) => {
            let parent = parent.as_deref().filter(|parent| names.contains(parent));
            Some(parent.filter(|parent| parent != agent).unwrap_or_default().to_owned())
        }
    };
    let nodes: Vec<(String, Option<String>)> =
        known.iter().map(|row| (row.0.clone().unwrap_or_default(), parent_of(row))).collect();
    let mut rows: BTreeMap<usize, _> = known.into_iter().enumerate().collect();
    let order = depth_first(&nodes, "");
    let listed = order.into_iter().filter_map(|(depth, place)| {
        let (agent, parent_agent, models, sum) = rows.remove(&place)?;
        Some(Agent { agent, parent_agent, depth, models, sums: sum.into() })
    });
    listed.collect()
}

/// The sessions below `root` as a tree, each with its depth: 1 for those that it started itself.
pub(super) fn sessions_below(
    root: &str,
    below: Vec<store::AgentSession>,
) -> Vec<(usize, store::AgentSession)> {
    let mut nodes = vec![(root.to_owned(), None)];
    nodes.extend(below.iter().map(|one| (one.session.clone(), one.parent.clone())));
    let mut rows: BTreeMap<usize, _> = below.into_iter().enumerate().collect();
    let order = depth_first(&nodes, root).into_iter().filter(|(_, place)| *place > 0);
    order.filter_map(|(depth, place)| Some((depth, rows.remove(&(place - 1))?))).collect()
}

/// The places of `nodes` (name and parent) in the order of their tree, with their depths. Nodes that
/// `root` does not lead to come last, as if it had started them.
fn depth_first(nodes: &[(String, Option<String>)], root: &str) -> Vec<(usize, usize)> {
    let mut below: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, (_, parent)) in nodes.iter().enumerate() {
        if let Some(parent) = parent {
            below.entry(parent).or_default().push(place);
        }
    }
    let (mut order, mut seen) = (Vec::new(), HashSet::new());
    let mut walk = |stack: &mut Vec<(usize, usize)>| {
        while let Some((depth, place)) = stack.pop() {
            if !seen.insert(place) {
                continue;
            }
            order.push((depth, place));
            let children = below.get(nodes[place].0.as_str()).into_iter().flatten();
            stack.extend(children.rev().map(|child| (depth + 1, *child)));
        }
    };
    let first = nodes.iter().position(|(name, _)| name == root);
    let mut stack = match first {
        Some(place) => vec![(0, place)],
        None => below.get(root).into_iter().flatten().rev().map(|child| (1, *child)).collect(),
    };
    walk(&mut stack);
    for place in 0..nodes.len() {
        walk(&mut vec![(1, place)]);
    }
    order
}

/// Adds `more` to a sum.
fn add(sum: &mut SessionSum, more: &SessionSum) {
    sum.first_at = sum.first_at.min(more.first_at);
    sum.last_at = sum.last_at.max(more.last_at);
    sum.calls += more.calls;
    sum.errors += more.errors;
    sum.input += more.input;
    sum.cached += more.cached;
    sum.cache_written += more.cache_written;
    sum.output += more.output;
    sum.cost_nano = sum.cost_nano.saturating_add(more.cost_nano);
    sum.unpriced += more.unpriced;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(nodes: &[(&str, Option<&str>)]) -> Vec<(usize, String)> {
        let nodes: Vec<_> =
            nodes.iter().map(|(n, p)| ((*n).to_owned(), p.map(str::to_owned))).collect();
        let order = depth_first(&nodes, "main");
        order.into_iter().map(|(depth, place)| (depth, nodes[place].0.clone())).collect()
    }

    #[test]
    fn each_node_is_followed_by_those_below_it() {
        let nodes = [
            ("main", None),
            ("a", Some("main")),
            ("b", Some("main")),
            ("a1", Some("a")),
            ("a2", Some("a")),
        ];
        let told = [(0, "main"), (1, "a"), (2, "a1"), (2, "a2"), (1, "b")];
        let told = told.map(|(depth, name)| (depth, name.to_owned()));
        assert_eq!(tree(&nodes), told);
    }

    #[test]
    fn circles_end_and_lose_nobody() {
        let nodes = [("main", None), ("x", Some("y")), ("y", Some("x")), ("z", Some("z"))];
        let mut names: Vec<String> = tree(&nodes).into_iter().map(|(_, name)| name).collect();
        names.sort();
        assert_eq!(names, ["main", "x", "y", "z"]);
    }
}
