//! Circles of dependencies: finding them, naming them, explaining the shortest.

use std::collections::VecDeque;

use super::graph::{Edge, Graph, Kind};
use super::versions::{Lists, micros};
use crate::base::HashMap;
use crate::check::Budget;
use crate::check::history::{History, Micro, Operation};
use crate::check::report::Violation;
use crate::check::show;

/// How many circles are explained.
const SHOWN_MAX: usize = 10;

/// Names of circles, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    G0,
    G1c,
    GSingle,
    G2,
}

/// Which orders besides dependencies a circle may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    None,
    Client,
    Time,
}

/// One violation for every group of transactions that are entangled.
pub fn find(history: &History, lists: &Lists, graph: &Graph, budget: &mut Budget) -> Vec<Violation> {
    let all: Vec<usize> = (0..graph.len()).collect();
    let mut knots = graph.knots(&all, |_| true);
    knots.sort_by_key(|knot| knot.iter().min().copied());
    let mut violations = Vec::new();
    for knot in knots.iter().take(SHOWN_MAX) {
        if let Some((name, circle)) = worst(graph, knot, budget) {
            violations.push(explain(history, lists, name, &circle));
        }
    }
    violations
}

/// The worst name that a circle within a knot has, and the shortest circle of that name.
fn worst(graph: &Graph, knot: &[usize], budget: &Budget) -> Option<(&'static str, Vec<Edge>)> {
    for order in [Order::None, Order::Client, Order::Time] {
        for class in [Class::G0, Class::G1c, Class::GSingle, Class::G2] {
            if let Some(circle) = shortest(graph, knot, class, order, budget) {
                return Some((name(class, order), circle));
            }
        }
    }
    None
}

fn name(class: Class, order: Order) -> &'static str {
    match (class, order) {
        (Class::G0, Order::None) => "serializability: G0, write cycle",
        (Class::G0, Order::Client) => "the order of one client: G0-process, write cycle",
        (Class::G0, Order::Time) => "strict serializability: G0-realtime, write cycle",
        (Class::G1c, Order::None) => "serializability: G1c, circular information flow",
        (Class::G1c, Order::Client) => "the order of one client: G1c-process",
        (Class::G1c, Order::Time) => "strict serializability: G1c-realtime",
        (Class::GSingle, Order::None) => "serializability: G-single, read skew",
        (Class::GSingle, Order::Client) => "the order of one client: G-single-process, stale read",
        (Class::GSingle, Order::Time) => "strict serializability: G-single-realtime, stale read or lost append",
        (Class::G2, Order::None) => "serializability: G2, write skew",
        (Class::G2, Order::Client) => "the order of one client: G2-process",
        (Class::G2, Order::Time) => "strict serializability: G2-realtime",
    }
}

fn allows(class: Class, order: Order, edge: &Edge) -> bool {
    match edge.kind {
        Kind::Ww => true,
        Kind::Wr => class != Class::G0,
        Kind::Rw => matches!(class, Class::GSingle | Class::G2),
        Kind::Client => order != Order::None,
        Kind::Time => order == Order::Time,
    }
}

/// The shortest circle of edges that a class allows; with exactly one rw edge for G-single.
fn shortest(graph: &Graph, knot: &[usize], class: Class, order: Order, budget: &Budget) -> Option<Vec<Edge>> {
    /// Looking for a shorter one is not worth more than this.
    const STEPS: u64 = 20_000_000;
    let mut budget = budget.aside(STEPS);
    let allowed = |edge: &Edge| allows(class, order, edge);
    let mut best: Option<Vec<Edge>> = None;
    for knot in graph.knots(knot, allowed) {
        let members: HashMap<usize, ()> = knot.iter().map(|&member| (member, ())).collect();
        let inside = |edge: &Edge| members.contains_key(&edge.to) && allowed(edge);
        // Every circle has an edge that is not one of time. G-single and G2 have a rw edge, and the way back of a
        // G-single has none.
        let needed = |edge: &&Edge| match class {
            Class::G0 => edge.kind == Kind::Ww,
            Class::G1c => matches!(edge.kind, Kind::Ww | Kind::Wr),
            Class::GSingle | Class::G2 => edge.kind == Kind::Rw,
        };
        let back = |edge: &Edge| inside(edge) && (class != Class::GSingle || edge.kind != Kind::Rw);
        for &member in &knot {
            for edge in graph.after(member).iter().filter(|edge| inside(edge)).filter(needed) {
                let longest = best.as_ref().map_or(usize::MAX, |best| best.len() - 2);
                // The first way back exists, except for a G-single: looking for one must end.
                let may_end = best.is_some() || class == Class::GSingle;
                if longest == 0 || may_end && budget.steps_left == 0 {
                    return best;
                }
                let unlimited = &mut Budget::new(crate::check::Limits::default());
                let budget = if may_end { &mut budget } else { unlimited };
                if let Some(way) = path(graph, edge.to, edge.from, longest, back, budget) {
                    best = Some(std::iter::once(*edge).chain(way).collect());
                }
            }
        }
    }
    best
}

/// The shortest path, of at most so many edges.
fn path(
    graph: &Graph,
    from: usize,
    to: usize,
    longest: usize,
    allowed: impl Fn(&Edge) -> bool,
    budget: &mut Budget,
) -> Option<Vec<Edge>> {
    let mut came: HashMap<usize, Edge> = HashMap::default();
    let mut queue = VecDeque::from([(from, 0)]);
    while let Some((at, length)) = queue.pop_front() {
        if length == longest {
            return None;
        }
        for edge in graph.after(at).iter().filter(|edge| allowed(edge)) {
            budget.spend().ok()?;
            if edge.to == from || came.contains_key(&edge.to) {
                continue;
            }
            came.insert(edge.to, *edge);
            if edge.to == to {
                let mut way = Vec::new();
                let mut at = to;
                while at != from {
                    let edge = came.get(&at)?;
                    way.push(*edge);
                    at = edge.from;
                }
                way.reverse();
                return Some(way);
            }
            queue.push_back((edge.to, length + 1));
        }
    }
    None
}

fn explain(history: &History, lists: &Lists, name: &'static str, circle: &[Edge]) -> Violation {
    // Dependencies within one list read best when the circle begins with what happened first.
    let order = |at: &usize| {
        let operation = operation(history, lists, circle[*at].from);
        (operation.start, operation.line)
    };
    let first = (0..circle.len()).min_by_key(order).unwrap_or(0);
    let circle: Vec<Edge> = circle[first..].iter().chain(&circle[..first]).copied().collect();
    let mut story = Vec::new();
    for (at, edge) in circle.iter().enumerate() {
        let operation = operation(history, lists, edge.from);
        let steps: Vec<String> = micros(operation).iter().map(show::micro).collect();
        story.push(format!("T{} (line {}, client {}): {}", at + 1, operation.line, operation.client, steps.join("; ")));
    }
    story.push(String::new());
    for (at, edge) in circle.iter().enumerate() {
        let (from, to) = (at + 1, (at + 1) % circle.len() + 1);
        story.push(format!("T{from} comes before T{to}: {}", because(history, lists, edge, from, to)));
    }
    story.push("Each would have to come before the next one, in a circle.".to_owned());
    let operations: Vec<&Operation> = circle.iter().map(|edge| operation(history, lists, edge.from)).collect();
    Violation::new(name, story, &operations)
}

fn operation<'a>(history: &'a History, lists: &Lists, transaction: usize) -> &'a Operation {
    &history.operations[lists.transactions[transaction]]
}

/// The reason for an edge.
fn because(history: &History, lists: &Lists, edge: &Edge, from: usize, to: usize) -> String {
    let ends = || (operation(history, lists, edge.from), operation(history, lists, edge.to));
    if matches!(edge.kind, Kind::Client | Kind::Time) {
        let (first, second) = ends();
        let pause = second.start.0 - first.end.map_or(0, |end| end.0);
        let who = if edge.kind == Kind::Client { ", the same client (process)" } else { " (real time)" };
        return format!("it ended {:.3} ms before T{to} began{who}.", pause as f64 / 1e6);
    }
    let list = &lists.lists[edge.list];
    let key = show::quoted(list.key);
    let element = |position: usize| match list.order.get(position) {
        Some(&(element, _)) => element,
        None => list.unread.get(position - list.order.len()).map_or("", |&(element, _)| element),
    };
    let subject = element(edge.position);
    let is_read = edge.position < list.order.len();
    match edge.kind {
        Kind::Ww => {
            let before = element(edge.position - 1);
            let before = if is_read { before } else { element(list.order.len() - 1) };
            let witness = match (is_read, list.witness) {
                (true, Some(witness)) => format!("line {} read them in this order", history.operations[witness].line),
                _ => format!("nobody read {subject}, so it is behind all that was read"),
            };
            format!("T{from} appended {before} to {key}, T{to} appended {subject} after it: {witness} (ww).")
        }
        Kind::Wr => format!("T{to} read {key} with {subject}, which T{from} appended (wr)."),
        _ => {
            let (reader, _) = ends();
            let read = micros(reader).iter().find_map(|micro| match micro {
                Micro::Read { key, elements: Some(elements) } if key == list.key => Some(show::list(elements)),
                _ => None,
            });
            let read = read.unwrap_or_default();
            format!("T{from} read {key} as {read}, without {subject}, which T{to} appended (rw).")
        }
    }
}
