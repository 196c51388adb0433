//! The subscribed queries, on the worker that asks them: which to ask again, and who gets which answer.
//!
//! Subscribers of equal queries form a group and share an evaluation. A subscriber *is due* once its interval since the
//! last answer has passed. A group is asked if one of its subscribers is due and the view may have changed since the
//! last time. If it has not changed, it is not asked, however often a subscriber is due. The time is passed in: nothing
//! here reads a clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::aggregate::Aggregate;
use crate::engine::ask::mailbox::{Delivered, Joining};
use crate::engine::ask::slot::Giver;
use crate::key::Key;
use crate::moment::Moment;
use crate::serve::{Answer, Query};
use crate::time::{Calendar, DayRange, EventTime, Last};
use crate::view::KeptFrom;

/// A hundred years. This means never, and can be added to a clock without overflow.
const EVERY_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);

/// The state of a view, as far as it shows whether an answer may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The latest complete moment.
    pub(crate) moment: Moment,
    /// How often sealed days have become live.
    pub(crate) sealings: u64,
}

impl Seen {
    /// Whether the answer for `self` may differ from the one for `now`. `entered` is the highest tick in which events
    /// entered; without it, events may have entered in any.
    ///
    /// Ticks rise on each worker, so within one floor an event after `self.moment` has a higher tick. Across floors,
    /// the ticks of two workers cannot be compared.
    fn may_differ(&self, now: &Seen, entered: Option<u64>) -> bool {
        let is_entered = entered.is_none_or(|entered| entered > self.moment.tick)
            || now.moment.floor != self.moment.floor;
        (now.moment > self.moment && is_entered) || now.sealings != self.sealings
    }
}

pub(crate) struct Standing<K: Key, A: Aggregate> {
    /// By the encoded query.
    by_query: HashMap<Vec<u8>, u64>,
    groups: HashMap<u64, Group<K, A>>,
    /// The group of each subscriber.
    members: HashMap<u64, u64>,
    /// When a subscriber will be due.
    times: BTreeSet<(Instant, u64)>,
    /// Groups with a subscriber that is due.
    due: BTreeSet<u64>,
    /// Groups whose windows move with the clock, and when each window may next change.
    windows: BTreeMap<u64, EventTime>,
    looked: Option<Seen>,
    number: u64,
    /// Counts the answers that differed from the one before, over all groups, so that no two have the same number.
    versions: u64,
}

struct Group<K: Key, A: Aggregate> {
    encoded: Vec<u8>,
    /// The query as it is asked, with the last periods as they are now.
    query: Query<K>,
    last: Option<Last>,
    /// The days among which the last periods are.
    days: DayRange,
    members: HashMap<u64, Member<K, A>>,
    latest: Option<Arc<Answer<K, A>>>,
    /// The number of the latest answer that differed from the one before.
    version: u64,
    /// The state of the view when the query was last asked.
    asked: Option<Seen>,
    is_under_way: bool,
}

struct Member<K: Key, A: Aggregate> {
    giver: Giver<Delivered<K, A>>,
    every: Duration,
    /// The version that it got last.
    version: u64,
    is_due: bool,
    /// When it will be due.
    next: Instant,
    /// It came while an answer was under way, which may lack what was visible then. So the next answer is its first.
    has_just_come: bool,
}

impl<K: Key, A: Aggregate> Default for Standing<K, A> {
    fn default() -> Self {
        Standing {
            by_query: HashMap::new(),
            groups: HashMap::new(),
            members: HashMap::new(),
            times: BTreeSet::new(),
            due: BTreeSet::new(),
            windows: BTreeMap::new(),
            looked: None,
            number: 0,
            versions: 0,
        }
    }
}

impl<K: Key, A: Aggregate> Standing<K, A> {
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// When the next subscriber will be due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.times.first().map(|(next, _)| *next)
    }

    /// Adds a subscriber. It is due at once.
    pub(crate) fn join(&mut self, joining: Joining<K, A>, now: Instant) {
        let Joining { number, query, every, giver } = joining;
        let encoded = bincode::serialize(&query).expect("a query can always be encoded");
        let next_number = self.number + 1;
        let group = *self.by_query.entry(encoded.clone()).or_insert(next_number);
        self.number = self.number.max(group);
        let (last, days) = (query.last, query.days);
        if last.is_some() && !self.groups.contains_key(&group) {
            self.windows.insert(group, EventTime::MIN);
        }
        let members = self.groups.entry(group).or_insert_with(|| Group {
            encoded,
            query,
            last,
            days,
            members: HashMap::new(),
            latest: None,
            version: 0,
            asked: None,
            is_under_way: false,
        });
        let every = every.min(EVERY_MAX);
        let has_just_come = members.is_under_way;
        let member = Member { giver, every, version: 0, is_due: true, next: now, has_just_come };
        members.members.insert(number, member);
        self.members.insert(number, group);
        self.due.insert(group);
        self.looked = None;
    }

    /// Forgets a subscriber.
    pub(crate) fn leave(&mut self, number: u64) {
        let Some(id) = self.members.remove(&number) else { return };
        let Some(group) = self.groups.get_mut(&id) else { return };
        if let Some(member) = group.members.remove(&number) {
            self.times.remove(&(member.next, number));
        }
        if group.members.is_empty()
            && let Some(group) = self.groups.remove(&id)
        {
            self.by_query.remove(&group.encoded);
            self.windows.remove(&id);
            self.due.remove(&id);
        }
    }

    /// Whether the window of any group depends on the present time.
    pub(crate) fn has_windows(&self) -> bool {
        !self.windows.is_empty()
    }

    /// Moves windows to this time. A group whose window has changed is asked again.
    pub(crate) fn move_windows(&mut self, calendar: &Calendar, now: EventTime) {
        for (id, moves_at) in self.windows.iter_mut().filter(|(_, moves_at)| **moves_at <= now) {
            let Some(group) = self.groups.get_mut(id) else { continue };
            let Some(last) = group.last else { continue };
            *moves_at = last.moves_at(calendar, now);
            let query = Query { last: Some(last), days: group.days, ..group.query.clone() };
            let query = query.at_time(calendar, now, &KeptFrom::ALL);
            if query.days != group.query.days || group.query.last.is_some() {
                (group.query, group.asked, self.looked) = (query, None, None);
            }
        }
    }

    /// The groups to ask now, with their queries. Subscribers that can be served without asking are served.
    pub(crate) fn look(
        &mut self,
        seen: Seen,
        entered: Option<u64>,
        now: Instant,
    ) -> Vec<(u64, Query<K>)> {
        while let Some((_, number)) = self.times.first().copied().filter(|(next, _)| *next <= now) {
            self.times.pop_first();
            let Some(id) = self.members.get(&number) else { continue };
            let group = self.groups.get_mut(id);
            let member = group.and_then(|group| group.members.get_mut(&number));
            member.into_iter().for_each(|member| member.is_due = true);
            self.due.insert(*id);
            self.looked = None;
        }
        if self.due.is_empty() || self.looked.replace(seen) == Some(seen) {
            return Vec::new();
        }
        let mut asking = Vec::new();
        for id in self.due.clone() {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if group.is_under_way {
                continue;
            }
            if group.asked.is_none_or(|asked| asked.may_differ(&seen, entered)) {
                group.ask(seen);
                asking.push((id, group.query.clone()));
            } else {
                self.deliver(id, now);
            }
        }
        asking
    }

    /// All groups, to be asked for the last time, whether a subscriber is due or not.
    pub(crate) fn look_last(&mut self, seen: Seen) -> Vec<(u64, Query<K>)> {
        let mut asking = Vec::new();
        for (id, group) in &mut self.groups {
            for member in group.members.values_mut() {
                (member.is_due, member.has_just_come) = (true, false);
            }
            group.ask(seen);
            asking.push((*id, group.query.clone()));
        }
        asking
    }

    /// Takes an answer in.
    pub(crate) fn answered(&mut self, id: u64, answer: Answer<K, A>, now: Instant) {
        let differs = self.latest(id).is_none_or(|latest| differs(&latest, &answer));
        self.settled(id, answer, differs, now);
    }

    /// The latest answer of a group.
    pub(crate) fn latest(&self, id: u64) -> Option<Arc<Answer<K, A>>> {
        self.groups.get(&id)?.latest.clone()
    }

    /// Takes in an answer that was compared with the latest one.
    pub(crate) fn settled(&mut self, id: u64, answer: Answer<K, A>, differs: bool, now: Instant) {
        // All its subscribers may have left.
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.is_under_way = false;
        if differs {
            self.versions += 1;
            group.version = self.versions;
        }
        // It has a later moment in any case.
        group.latest = Some(Arc::new(answer));
        self.deliver(id, now);
        let members =
            self.groups.get_mut(&id).into_iter().flat_map(|group| group.members.values_mut());
        members.for_each(|member| member.has_just_come = false);
        self.looked = None;
    }

    /// Gives a group's latest answer to subscribers that are due and do not have it, and to those that have not taken
    /// an earlier one. However many have not taken theirs, only one answer of the group is kept.
    fn deliver(&mut self, id: u64, now: Instant) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Some(latest) = &group.latest else { return };
        let mut is_due = false;
        for (number, member) in &mut group.members {
            if !member.is_due {
                let is_late = member.version != group.version;
                if is_late && member.giver.renew((group.version, Arc::clone(latest))) {
                    member.version = group.version;
                }
                continue;
            }
            if member.version == group.version || member.has_just_come {
                is_due = true;
                continue;
            }
            member.giver.give((group.version, Arc::clone(latest)));
            (member.version, member.is_due) = (group.version, false);
            member.next = now + member.every;
            self.times.insert((member.next, *number));
        }
        if !is_due {
            self.due.remove(&id);
        }
    }
}

impl<K: Key, A: Aggregate> Group<K, A> {
    fn ask(&mut self, seen: Seen) {
        (self.asked, self.is_under_way) = (Some(seen), true);
    }
}

/// Whether an answer differs from the last one in more than its moment.
pub(crate) fn differs<K: Key, A: Aggregate>(last: &Answer<K, A>, answer: &Answer<K, A>) -> bool {
    last.certificate.sealed_through != answer.certificate.sealed_through
        || last.items != answer.items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Count;
    use crate::engine::ask::slot::{Taker, slot};
    use crate::serve::{Certificate, Item, Parts};

    type Taken = Taker<Delivered<u64, Count>>;

    fn seen(floor: i64, tick: u64, sealings: u64) -> Seen {
        Seen { moment: Moment::new(floor, tick), sealings }
    }

    fn join(standing: &mut Standing<u64, Count>, number: u64, key: u64, ms: u64) -> Taken {
        let (giver, taker) = slot();
        let (query, every) = (Query::point(key, DayRange::ALL), Duration::from_millis(ms));
        standing.join(Joining { number, query, every, giver }, Instant::now());
        taker
    }

    fn answer(count: i64) -> Answer<u64, Count> {
        let as_of = Moment::new(0, 0);
        let certificate =
            Certificate { as_of, sealed_through: None, kept_from: None, late: 0, refused: 0 };
        let parts = Parts { batch: None, speed: Some(Count(count)), amendments: None };
        Answer {
            id: 0,
            certificate,
            items: vec![Item { day: None, key: None, revision: None, parts }],
            error: None,
        }
    }

    fn taken(taker: &Taken) -> Option<Count> {
        taker.try_take().unwrap().and_then(|(_, answer)| answer.value())
    }

    #[test]
    fn those_who_take_nothing_keep_one_answer() {
        let mut standing = Standing::default();
        let start = Instant::now();
        let takers: Vec<Taken> = (1..=100).map(|n| join(&mut standing, n, 7, 1_000_000)).collect();
        let quick = join(&mut standing, 101, 7, 10);
        for tick in 1..=20u64 {
            let now = start + Duration::from_millis(3_600 + tick * 10);
            let asked = standing.look(seen(0, tick, 0), Some(tick), now);
            standing.answered(asked[0].0, answer(tick as i64), now);
            assert_eq!(taken(&quick), Some(Count(tick as i64)));
            // The group holds it, and so does each subscriber that takes nothing.
            let latest = standing.groups.values().next().and_then(|group| group.latest.clone());
            assert_eq!(latest.map(|latest| Arc::strong_count(&latest)), Some(2 + takers.len()));
        }
        let numbers = takers.iter().map(|taker| taker.try_take().unwrap().unwrap());
        for (number, answer) in numbers {
            assert_eq!((number, answer.value()), (20, Some(Count(20))), "the latest");
        }
    }

    #[test]
    fn an_answer_may_differ_when_events_entered_since_or_a_day_was_sealed() {
        let last = seen(0, 10, 1);
        let cases = [
            (seen(0, 10, 1), Some(20), false, "the same moment"),
            (seen(0, 15, 1), Some(10), false, "a later one without events"),
            (seen(0, 15, 1), Some(11), true, "one with events"),
            (seen(0, 15, 1), None, true, "others may have entered some"),
            (seen(5, 3, 1), Some(10), true, "ticks of two floors compare to nothing"),
            (seen(0, 10, 2), Some(10), true, "a day was sealed"),
        ];
        for (now, entered, expected, why) in cases {
            assert_eq!(last.may_differ(&now, entered), expected, "{why}");
        }
    }

    #[test]
    fn an_answer_that_is_to_come_never_again_is_delivered_once() {
        let mut standing = Standing::default();
        let (giver, never) = slot();
        let query = Query::point(7, DayRange::ALL);
        let start = Instant::now();
        standing.join(Joining { number: 1, query, every: Duration::MAX, giver }, start);
        let [(group, _)] = standing.look(seen(0, 1, 0), Some(0), start)[..] else {
            panic!("it is asked")
        };
        standing.answered(group, answer(1), start);
        assert_eq!(taken(&never), Some(Count(1)));
        let later = start + Duration::from_secs(3_600);
        assert!(standing.look(seen(0, 2, 0), Some(2), later).is_empty());
    }

    #[test]
    fn equal_queries_are_asked_once_and_only_when_it_is_time_and_something_has_entered() {
        let mut standing = Standing::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_secs(3_600) + Duration::from_millis(ms);
        let quick = join(&mut standing, 1, 7, 10);
        let slow = join(&mut standing, 2, 7, 100);
        let other = join(&mut standing, 3, 8, 10);
        let asked = standing.look(seen(0, 1, 0), Some(0), at(0));
        let [seven, eight]: [u64; 2] =
            asked.iter().map(|(group, _)| *group).collect::<Vec<_>>().try_into().unwrap();
        assert!(standing.look(seen(0, 2, 0), Some(2), at(0)).is_empty(), "they are under way");
        standing.answered(seven, answer(1), at(0));
        standing.answered(eight, answer(0), at(0));
        assert_eq!(
            [&quick, &slow, &other].map(taken),
            [Some(Count(1)), Some(Count(1)), Some(Count(0))]
        );

        // An event has entered: each subscriber gets the new answer when it is due.
        assert!(standing.look(seen(0, 3, 0), Some(2), at(9)).is_empty(), "nobody is due");
        assert_eq!(standing.next_due(), Some(at(10)));
        let asked = standing.look(seen(0, 3, 0), Some(2), at(10));
        assert_eq!(asked.len(), 2);
        standing.answered(seven, answer(2), at(10));
        standing.answered(eight, answer(0), at(10));
        assert_eq!([&quick, &slow, &other].map(taken), [Some(Count(2)), None, None]);
        assert!(standing.look(seen(0, 9, 0), Some(2), at(50)).is_empty(), "nothing has entered");
        assert!(standing.look(seen(0, 9, 0), Some(2), at(100)).is_empty(), "it is known already");
        assert_eq!([&quick, &slow, &other].map(taken), [None, Some(Count(2)), None]);

        // A new subscriber gets the known answer; nothing is asked for one that has left.
        let newcomer = join(&mut standing, 4, 7, 10);
        assert!(standing.look(seen(0, 9, 0), Some(2), at(100)).is_empty());
        assert_eq!(taken(&newcomer), Some(Count(2)));
        (1..=2).for_each(|number| standing.leave(number));
        standing.leave(4);
        assert_eq!(standing.look(seen(0, 20, 0), Some(20), at(500)).len(), 1);
        standing.leave(3);
        assert!(standing.is_empty() && standing.next_due().is_none());
        assert!(
            standing.groups.is_empty() && standing.by_query.is_empty() && standing.due.is_empty()
        );
    }

    #[test]
    fn an_answer_that_was_under_way_is_not_the_first_of_a_newcomer() {
        let (mut standing, now) = (Standing::default(), Instant::now());
        let first = join(&mut standing, 1, 7, 0);
        let asked = standing.look(seen(0, 1, 0), Some(0), now);
        let newcomer = join(&mut standing, 2, 7, 0);
        standing.answered(asked[0].0, answer(1), now);
        assert_eq!((taken(&first), taken(&newcomer)), (Some(Count(1)), None));
        // Nothing has entered since: it has everything.
        assert!(standing.look(seen(0, 2, 0), Some(0), now).is_empty());
        assert_eq!(taken(&newcomer), Some(Count(1)));

        // Something has entered.
        let asked = standing.look(seen(0, 4, 0), Some(3), now);
        let newcomer = join(&mut standing, 3, 7, 0);
        standing.answered(asked[0].0, answer(3), now);
        assert_eq!(taken(&newcomer), None);
        let asked = standing.look(seen(0, 6, 0), Some(5), now);
        standing.answered(asked[0].0, answer(5), now);
        assert_eq!(taken(&newcomer), Some(Count(5)));
    }

    #[test]
    fn the_last_answers_wait_for_nobody_to_be_due() {
        let mut standing = Standing::default();
        let now = Instant::now();
        let taker = join(&mut standing, 1, 7, 1_000_000);
        let asked = standing.look(seen(0, 1, 0), Some(0), now);
        standing.answered(asked[0].0, answer(1), now);
        let asked = standing.look_last(seen(0, 9, 0));
        standing.answered(asked[0].0, answer(5), now);
        assert_eq!(taken(&taker), Some(Count(5)));
        drop(standing);
        assert!(taker.try_take().is_err());
    }
}
