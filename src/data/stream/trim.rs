//! Shortening a stream from its start: whole pages go with one range, the rest of a page entry by entry.

use std::ops::ControlFlow;

use super::{Id, Page, Stream, damaged, keys};
use crate::data::{Keyspace, Result};
use crate::store::Order;
use crate::store::keys::ElementKind;

/// What stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So many entries, the latest ones.
    Length(u64),
    /// Entries with this id or a greater one.
    Id(Id),
}

/// How to shorten a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// What stays.
    pub bound: Bound,
    /// Only whole pages go, so that a little more stays.
    pub by_pages: bool,
    /// No more entries than this go; `None` for all.
    pub limit: Option<u64>,
}

/// What happens to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Whole,
    Part,
    Nothing,
}

impl Trim {
    fn step(&self, page: &Page, length: u64, removed: u64) -> Step {
        if matches!(self.bound, Bound::Length(max) if length <= max)
            || self.limit.is_some_and(|limit| removed + page.live > limit)
        {
            return Step::Nothing;
        }
        let is_whole = match self.bound {
            Bound::Length(max) => length.saturating_sub(page.live) >= max,
            Bound::Id(id) => page.last < id,
        };
        match (is_whole, self.by_pages) {
            (true, _) => Step::Whole,
            (false, true) => Step::Nothing,
            (false, false) => Step::Part,
        }
    }
}

impl Stream {
    /// Shortens it; returns how many entries went.
    pub fn trim(&mut self, keys: &mut Keyspace<'_>, trim: Trim) -> Result<u64> {
        let (mut length, mut removed, mut pages) = (self.facts.length, 0, 0);
        // The last page that goes, and the one behind it.
        let (mut last, mut next) = (None, None);
        let mut decide = |page: Page| -> Result<ControlFlow<()>> {
            match trim.step(&page, length, removed) {
                Step::Whole => {
                    length = length.checked_sub(page.live).ok_or_else(damaged)?;
                    removed += page.live;
                    pages += 1;
                    last = Some(page);
                    Ok(ControlFlow::Continue(()))
                }
                Step::Part => {
                    next = Some(page);
                    Ok(ControlFlow::Break(()))
                }
                Step::Nothing => Ok(ControlFlow::Break(())),
            }
        };
        let mut goes_on = true;
        self.place.visit(keys.store, ElementKind::Page, &[], &mut |name, mut value| {
            let step = decide(Page::take(Id::at_end_of(name).ok_or_else(damaged)?, &mut value)?)?;
            goes_on = step.is_continue();
            Ok(step)
        })?;
        if goes_on && let Some(open) = self.facts.open {
            // The last step, whatever it says.
            let _ = decide(open)?;
        }
        self.facts.length = length;
        if let Some(last) = last {
            self.drop_pages_to(keys, &last, pages)?;
        }
        if let Some(page) = next {
            removed += self.trim_page(keys, page, trim.bound)?;
        }
        if removed > 0 || pages > 0 {
            self.is_changed = true;
            self.find_ends(keys.store)?;
        }
        Ok(removed)
    }

    /// Removes so many pages, up to this one, with their entries.
    fn drop_pages_to(&mut self, keys: &mut Keyspace<'_>, last: &Page, pages: u64) -> Result<()> {
        let from = self.facts.first.min(last.first);
        let end = keys::after(&self.entry_record(last.last));
        keys.store.delete_range(self.entry_record(from), end);
        self.facts.pages = self.facts.pages.checked_sub(pages).ok_or_else(damaged)?;
        // Where to look for the first entry that is left: behind all that is gone.
        self.facts.first = last.last.next().unwrap_or(Id::MAX);
        let is_open = self.facts.open.is_some_and(|open| open.first == last.first);
        if is_open {
            self.facts.open = None;
        }
        match pages - u64::from(is_open) {
            0 => {}
            1 if !is_open => keys.store.delete(self.page_record(last.first)),
            _ => {
                let end = keys::after(&self.page_record(last.first));
                keys.store.delete_range(self.page_record(Id::MIN), end);
            }
        }
        Ok(())
    }

    /// Removes entries from the start of a page, which stays.
    fn trim_page(&mut self, keys: &mut Keyspace<'_>, mut page: Page, bound: Bound) -> Result<u64> {
        let surplus = match bound {
            Bound::Length(max) => self.facts.length.saturating_sub(max),
            Bound::Id(_) => u64::MAX,
        };
        let mut gone = Vec::new();
        let between = (&page.first.max(self.facts.first).bytes()[..], &page.last.bytes()[..]);
        self.place.visit_between(keys.store, ElementKind::Entry, between, Order::Forward, &mut |name, _| {
            let id = Id::at_end_of(name).ok_or_else(damaged)?;
            if gone.len() as u64 >= surplus || matches!(bound, Bound::Id(least) if id >= least) {
                return Ok(ControlFlow::Break(()));
            }
            gone.push(id);
            Ok(ControlFlow::Continue(()))
        })?;
        let count = gone.len() as u64;
        let Some(last) = gone.last() else { return Ok(0) };
        self.facts.first = *last;
        gone.into_iter().for_each(|id| keys.store.delete(self.entry_record(id)));
        if !page.remove(count) {
            return Err(damaged());
        }
        self.facts.length = self.facts.length.checked_sub(count).ok_or_else(damaged)?;
        self.put_page(keys, page);
        Ok(count)
    }
}
