//! Dependencies between transactions.

use super::versions::{List, Lists};
use crate::base::{HashMap, Nanos};
use crate::check::history::History;

/// Why one transaction comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The second appended to a list after the first had.
    Ww,
    /// The second read what the first appended.
    Wr,
    /// The first read a list before the second appended to it.
    Rw,
    /// The same client did one after the other.
    Client,
    /// The first had ended when the second began.
    Time,
}

/// An edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub kind: Kind,
    /// For a list: which, and the position of the element that the second appended (ww, rw) or that was read (wr).
    /// Positions behind the end of the order are those of appends that nobody read.
    pub list: usize,
    pub position: usize,
}

/// Transactions (by their number in [`Lists`]) and what follows from what.
#[derive(Debug)]
pub struct Graph {
    /// Sorted by `from`.
    edges: Vec<Edge>,
    /// Where the edges of each transaction begin.
    starts: Vec<usize>,
}

impl Graph {
    /// All dependencies.
    pub fn new(history: &History, lists: &Lists) -> Graph {
        let mut edges = Vec::new();
        for (number, list) in lists.lists.iter().enumerate() {
            list_edges(number, list, &mut edges);
        }
        time_edges(history, lists, &mut edges);
        client_edges(history, lists, &mut edges);
        edges.retain(|edge| edge.from != edge.to);
        edges.sort_unstable();
        edges.dedup_by_key(|edge| (edge.from, edge.to, edge.kind));
        let count = lists.transactions.len();
        let mut starts = vec![0; count + 1];
        edges.iter().for_each(|edge| starts[edge.from + 1] += 1);
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        Graph { edges, starts }
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What comes after a transaction.
    pub fn after(&self, transaction: usize) -> &[Edge] {
        &self.edges[self.starts[transaction]..self.starts[transaction + 1]]
    }

    /// Transactions that lie on circles of edges that are allowed, as groups of those that reach each other; every
    /// group has at least two. (Tarjan, "Depth-first search and linear graph algorithms", 1972, without recursion.)
    pub fn knots(&self, among: &[usize], allowed: impl Fn(&Edge) -> bool) -> Vec<Vec<usize>> {
        const NEW: usize = usize::MAX;
        const DONE: usize = usize::MAX - 1;
        let mut is_among = vec![false; self.len()];
        among.iter().for_each(|&transaction| is_among[transaction] = true);
        let mut number = vec![NEW; self.len()];
        let mut low = vec![0; self.len()];
        let mut next_number = 0;
        let mut open: Vec<usize> = Vec::new();
        let mut knots = Vec::new();
        // A transaction and which of its edges comes next.
        let mut path: Vec<(usize, usize)> = Vec::new();
        for &root in among {
            if number[root] != NEW {
                continue;
            }
            path.push((root, 0));
            while let Some(&mut (transaction, ref mut next)) = path.last_mut() {
                if *next == 0 {
                    number[transaction] = next_number;
                    low[transaction] = next_number;
                    next_number += 1;
                    open.push(transaction);
                }
                let edges = self.after(transaction);
                let mut down = None;
                while let Some(edge) = edges.get(*next) {
                    *next += 1;
                    if !is_among[edge.to] || number[edge.to] == DONE || !allowed(edge) {
                        continue;
                    }
                    if number[edge.to] == NEW {
                        down = Some(edge.to);
                        break;
                    }
                    low[transaction] = low[transaction].min(number[edge.to]);
                }
                if let Some(down) = down {
                    path.push((down, 0));
                    continue;
                }
                path.pop();
                if let Some(&(parent, _)) = path.last() {
                    low[parent] = low[parent].min(low[transaction]);
                }
                if low[transaction] == number[transaction] {
                    let at = open.iter().rposition(|&other| other == transaction).unwrap_or(0);
                    let knot = open.split_off(at);
                    knot.iter().for_each(|&member| number[member] = DONE);
                    if knot.len() > 1 {
                        knots.push(knot);
                    }
                }
            }
        }
        knots
    }
}

fn list_edges(number: usize, list: &List, edges: &mut Vec<Edge>) {
    let edge = |from, to, kind, position| Edge { from, to, kind, list: number, position };
    for (at, pair) in list.order.windows(2).enumerate() {
        edges.push(edge(pair[0].1, pair[1].1, Kind::Ww, at + 1));
    }
    let end = list.order.len();
    if let Some(&(_, last)) = list.order.last() {
        for (at, &(_, unread)) in list.unread.iter().enumerate() {
            edges.push(edge(last, unread, Kind::Ww, end + at));
        }
    }
    for &(reader, others) in &list.reads {
        if let Some(last) = others.checked_sub(1) {
            edges.push(edge(list.order[last].1, reader, Kind::Wr, last));
        }
        match list.order.get(others) {
            Some(&(_, next)) => edges.push(edge(reader, next, Kind::Rw, others)),
            // It read all that was ever read, so what nobody read comes later.
            None => {
                for (at, &(_, unread)) in list.unread.iter().enumerate() {
                    edges.push(edge(reader, unread, Kind::Rw, end + at));
                }
            }
        }
    }
}

/// Only the last to have ended: who ended before one of them began comes before it anyway.
fn time_edges(history: &History, lists: &Lists, edges: &mut Vec<Edge>) {
    let operation = |transaction: usize| &history.operations[lists.transactions[transaction]];
    let mut events: Vec<(Nanos, bool, usize)> = Vec::with_capacity(2 * lists.transactions.len());
    for transaction in 0..lists.transactions.len() {
        events.push((operation(transaction).start, false, transaction));
        events.extend(operation(transaction).end.map(|end| (end, true, transaction)));
    }
    events.sort_unstable();
    let mut ended: Vec<usize> = Vec::new();
    for (_, is_end, transaction) in events {
        if is_end {
            ended.retain(|&other| !operation(other).precedes(operation(transaction)));
            ended.push(transaction);
        } else {
            let edge = |&from: &usize| Edge { from, to: transaction, kind: Kind::Time, list: 0, position: 0 };
            edges.extend(ended.iter().map(edge));
        }
    }
}

fn client_edges(history: &History, lists: &Lists, edges: &mut Vec<Edge>) {
    let operation = |transaction: usize| &history.operations[lists.transactions[transaction]];
    let mut order: Vec<usize> = (0..lists.transactions.len()).collect();
    order.sort_by_key(|&transaction| operation(transaction).start);
    let mut last: HashMap<u64, usize> = HashMap::default();
    for transaction in order {
        if let Some(before) = last.insert(operation(transaction).client, transaction)
            && operation(before).precedes(operation(transaction))
        {
            edges.push(Edge { from: before, to: transaction, kind: Kind::Client, list: 0, position: 0 });
        }
    }
}
