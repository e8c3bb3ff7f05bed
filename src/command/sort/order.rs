//! The order of SORT: by number or by text, of the elements or of what belongs to them.
//!
//! Numbers that are equal leave it to the elements; texts that are equal, to the places in the value. Without STORE
//! texts are compared as C compares them, up to a NUL, because Redis does.

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;

use super::Pattern;
use crate::base::double;
use crate::command::context::Context;
use crate::command::error::{Failure, Result};
use crate::resp::c_string;

/// How elements are compared.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// What is compared; the elements themselves if it is `None`.
    pub by: Option<&'a Pattern>,
    /// Texts, not numbers.
    pub alpha: bool,
    /// The highest first.
    pub descending: bool,
    /// Texts to the last byte.
    pub exact: bool,
}

/// One element with what it is compared by.
struct Item<W> {
    weight: W,
    element: Bytes,
    place: usize,
}

/// The elements at some places of the order.
pub fn sorted(
    context: &mut Context<'_, '_>,
    elements: Vec<Bytes>,
    window: Range<usize>,
    rule: Rule<'_>,
) -> Result<Vec<Bytes>> {
    let text = |text: &Bytes| if rule.exact { text.clone() } else { text.slice_ref(c_string(text)) };
    Ok(match (rule.alpha, rule.by) {
        (false, _) => {
            let items = weighed(context, elements, rule.by, |value| {
                // Without a value it is 0.
                let number = value.map_or(Some(0.0), |value| double::parse_to_sort(value));
                number.ok_or_else(|| Failure::line("ERR One or more scores can't be converted into double"))
            })?;
            let compare = |one: &Item<f64>, other: &Item<f64>| {
                one.weight
                    .partial_cmp(&other.weight)
                    .unwrap_or(Ordering::Equal)
                    .then_with(|| one.element.cmp(&other.element))
            };
            select(items, window, rule.descending, compare)
        }
        (true, Some(_)) => {
            let items = weighed(context, elements, rule.by, |value| Ok(value.map(text)))?;
            // What has no value comes first.
            select(items, window, rule.descending, |one, other| one.weight.cmp(&other.weight))
        }
        (true, None) => {
            let items = weighed(context, elements, None, |_| Ok(()))?;
            let compare = |one: &Item<()>, other: &Item<()>| match rule.exact {
                true => one.element.cmp(&other.element),
                false => c_string(&one.element).cmp(c_string(&other.element)),
            };
            select(items, window, rule.descending, compare)
        }
    })
}

/// Finds what each element is compared by.
fn weighed<W>(
    context: &mut Context<'_, '_>,
    elements: Vec<Bytes>,
    by: Option<&Pattern>,
    weigh: impl Fn(Option<&Bytes>) -> Result<W>,
) -> Result<Vec<Item<W>>> {
    let mut items = Vec::with_capacity(elements.len());
    for (place, element) in elements.into_iter().enumerate() {
        let weight = match by {
            Some(by) => weigh(by.find(context, &element)?.as_ref())?,
            None => weigh(Some(&element))?,
        };
        items.push(Item { weight, element, place });
    }
    Ok(items)
}

/// The items at some places of the order, sorted; the others are only told apart from them.
fn select<W>(
    mut items: Vec<Item<W>>,
    window: Range<usize>,
    descending: bool,
    compare: impl Fn(&Item<W>, &Item<W>) -> Ordering,
) -> Vec<Bytes> {
    if window.is_empty() {
        return Vec::new();
    }
    let compare = |one: &Item<W>, other: &Item<W>| {
        let order = compare(one, other);
        let order = if descending { order.reverse() } else { order };
        order.then(one.place.cmp(&other.place))
    };
    if window.end < items.len() {
        items.select_nth_unstable_by(window.end - 1, compare);
        items.truncate(window.end);
    }
    if window.start > 0 {
        items.select_nth_unstable_by(window.start, compare);
        items.drain(..window.start);
    }
    items.sort_unstable_by(compare);
    items.into_iter().map(|item| item.element).collect()
}
