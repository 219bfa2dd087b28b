//! The pages of a region that are swept at the same time, and where the next invocation continues. Pure.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::Cursor;
use crate::model::ids::InstanceId;
use crate::source::InstancesPage;
use crate::source::ecs::response::EcsError;

/// No page is listed while pages with so many instances are not done. The message to the next invocation
/// names those of them that are done, and must not be too long for a queue.
const MOST_OPEN: usize = 1000;
/// Most pages of a region: two million instances. No account has so many, and a listing that never ends is one
/// that repeats itself.
const MOST_PAGES: u32 = 20_000;

/// Pages that are listed and not done, and those to come.
pub(super) struct Pages {
    /// The first page that is not done. Its `done` also has instances of the pages behind it.
    cursor: Cursor,
    open: VecDeque<OpenPage>,
    /// Instances that have not begun.
    waiting: VecDeque<InstanceId>,
    to_list: ToList,
    /// Tokens of pages that are listed, and of the next one.
    tokens: HashSet<String>,
}

/// A page that is not done.
struct OpenPage {
    instance_ids: BTreeSet<InstanceId>,
    /// Those that are not done, and belong to no page before it.
    left: BTreeSet<InstanceId>,
    unknown_ids: Vec<String>,
    next_token: Option<String>,
}

/// The page behind those that are listed.
enum ToList {
    Token(String),
    /// It is being listed, or cannot be.
    Taken,
    /// There is none.
    Nothing,
}

impl Pages {
    /// Begins with the page at the cursor.
    pub fn at(cursor: Cursor, page: InstancesPage) -> Self {
        let mut pages = Self {
            tokens: cursor.next_token.iter().cloned().collect(),
            cursor,
            open: VecDeque::new(),
            waiting: VecDeque::new(),
            to_list: ToList::Nothing,
        };
        pages.add(page);
        pages
    }

    /// The token of the page to list now, once. It is listed before the instances of the pages before it
    /// are done, so that nothing waits for it: when fewer than this wait.
    pub fn take_token(&mut self, enough: usize) -> Option<String> {
        let open: usize = self.open.iter().map(|page| page.instance_ids.len()).sum();
        if self.waiting.len() > enough || open >= MOST_OPEN {
            return None;
        }
        match std::mem::replace(&mut self.to_list, ToList::Taken) {
            ToList::Token(token) => Some(token),
            other => {
                self.to_list = other;
                None
            }
        }
    }

    /// An error for a page whose next page was listed before, or that is one too many: the listing has no end.
    pub fn endless(&self, page: &InstancesPage) -> Option<EcsError> {
        let token = page.next_token.as_ref()?;
        let reason = if self.tokens.contains(token) {
            "the next page of instances is one that was listed before".to_owned()
        } else if self.cursor.pages >= MOST_PAGES {
            format!("the list of instances has more than {MOST_PAGES} pages")
        } else {
            return None;
        };
        Some(EcsError::Unreadable {
            status: 200,
            reason,
        })
    }

    /// The page behind the others was listed.
    pub fn add(&mut self, page: InstancesPage) {
        let instance_ids = BTreeSet::from_iter(page.instance_ids);
        let is_known = |id: &InstanceId| {
            self.cursor.done.contains(id) || self.open.iter().any(|page| page.left.contains(id))
        };
        let left = instance_ids.iter().filter(|id| !is_known(id)).cloned();
        let left: BTreeSet<_> = left.collect();
        self.waiting.extend(left.iter().cloned());
        self.tokens.extend(page.next_token.clone());
        self.to_list = match page.next_token.clone() {
            Some(token) => ToList::Token(token),
            None => ToList::Nothing,
        };
        self.open.push_back(OpenPage {
            instance_ids,
            left,
            unknown_ids: page.unknown_ids,
            next_token: page.next_token,
        });
    }

    /// The page behind the others cannot be listed.
    pub fn list_no_more(&mut self) {
        self.to_list = ToList::Taken;
    }

    /// The next instance to begin.
    pub fn begin(&mut self) -> Option<InstanceId> {
        self.waiting.pop_front()
    }

    /// Whether an instance waits to begin.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// An instance is done.
    pub fn finish(&mut self, instance_id: InstanceId) {
        for page in &mut self.open {
            page.left.remove(&instance_id);
        }
        self.cursor.done.insert(instance_id);
    }

    /// Goes on to the page behind the first one, if that is done. Returns the IDs of it that are not known.
    pub fn end_page(&mut self) -> Option<Vec<String>> {
        let page = self.open.pop_front_if(|page| page.left.is_empty())?;
        self.cursor.pages = self.cursor.pages.saturating_add(1);
        self.cursor.next_token = page.next_token;
        let is_of_it = |id: &InstanceId| page.instance_ids.contains(id);
        self.cursor.done.retain(|id| !is_of_it(id));
        Some(page.unknown_ids)
    }

    /// Whether every listed page is done.
    pub fn is_between(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether the region is done.
    pub fn is_done(&self) -> bool {
        self.is_between() && matches!(self.to_list, ToList::Nothing)
    }

    /// Where the sweep continues.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::RegionId;

    fn id(index: usize) -> InstanceId {
        InstanceId::parse(&format!("i-{index:05}")).unwrap()
    }

    fn page(of: std::ops::Range<usize>, next_token: Option<&str>) -> InstancesPage {
        InstancesPage {
            instance_ids: of.map(id).collect(),
            unknown_ids: Vec::new(),
            next_token: next_token.map(str::to_owned),
            total: None,
        }
    }

    fn region() -> Cursor {
        Cursor::start(RegionId::parse("cn-hangzhou").unwrap())
    }

    #[test]
    fn a_page_that_is_done_behind_one_that_is_not_is_known_to_the_next_invocation() {
        let mut pages = Pages::at(region(), page(0..2, Some("b")));
        assert_eq!(pages.take_token(2).as_deref(), Some("b"));
        pages.add(page(2..4, None));
        for index in [1, 2, 3] {
            pages.finish(id(index));
            assert_eq!(pages.end_page(), None);
        }
        let cursor = pages.cursor().clone();
        assert_eq!(cursor.next_token, None, "the first page is not done");
        let mut resumed = Pages::at(cursor, page(0..2, Some("b")));
        assert_eq!((resumed.begin(), resumed.begin()), (Some(id(0)), None));
        resumed.finish(id(0));
        assert!(resumed.end_page().is_some());
        assert_eq!(resumed.cursor().next_token.as_deref(), Some("b"));
        assert!(resumed.is_between() && !resumed.is_done());
        resumed.take_token(0).unwrap();
        resumed.add(page(2..4, None));
        assert!(!resumed.has_waiting(), "both are done");
        assert!(resumed.end_page().is_some() && resumed.is_done());
        assert!(resumed.cursor().done.is_empty());
    }

    #[test]
    fn a_page_is_listed_once_and_not_before_few_instances_wait() {
        let mut pages = Pages::at(region(), page(0..3, Some("b")));
        assert_eq!(pages.take_token(2), None);
        assert_eq!(pages.begin(), Some(id(0)));
        assert_eq!(pages.take_token(2).as_deref(), Some("b"));
        assert_eq!(pages.take_token(2), None);
    }

    #[test]
    fn pages_that_hang_end_the_listing_before_a_message_is_too_long() {
        let mut pages = Pages::at(region(), page(0..100, Some("1")));
        let mut listed = 1;
        while pages.take_token(usize::MAX).is_some() {
            pages.add(page(listed * 100..(listed + 1) * 100, Some("more")));
            listed += 1;
        }
        assert_eq!(listed * 100, MOST_OPEN);
        // The first instance hangs, and the others are done.
        for index in 1..MOST_OPEN {
            pages.finish(id(index));
            assert_eq!(pages.end_page(), None);
        }
        assert_eq!(pages.cursor().done.len(), MOST_OPEN - 1);
        pages.finish(id(0));
        assert!((0..listed).all(|_| pages.end_page().is_some()));
        assert!(pages.take_token(usize::MAX).is_some());
    }

    #[test]
    fn an_instance_on_two_pages_begins_once() {
        let mut pages = Pages::at(region(), page(0..3, Some("b")));
        pages.take_token(3).unwrap();
        pages.add(page(2..4, None));
        let begun: Vec<_> = std::iter::from_fn(|| pages.begin()).collect();
        assert_eq!(begun, [0, 1, 2, 3].map(id));
    }

    #[test]
    fn a_listing_that_goes_round_is_told_from_one_that_goes_on() {
        let mut pages = Pages::at(region(), page(0..1, Some("b")));
        let next = page(1..2, Some("c"));
        assert!(pages.endless(&next).is_none());
        pages.add(next);
        assert!(pages.endless(&page(2..3, None)).is_none());
        let told = pages.endless(&page(0..1, Some("b"))).unwrap().to_string();
        assert!(told.contains("listed before"), "{told}");
        // A later invocation knows how many pages there were.
        let cursor = Cursor {
            pages: MOST_PAGES,
            ..region()
        };
        let pages = Pages::at(cursor, page(0..0, Some("b")));
        let told = pages.endless(&page(0..0, Some("c"))).unwrap().to_string();
        assert!(told.contains("20000 pages"), "{told}");
    }
}
