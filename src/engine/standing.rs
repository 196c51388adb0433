//! The queries that are subscribed to, on the worker that asks them: which to ask again, and who gets what.
//!
//! Subscribers of equal queries are a group, and share an evaluation. A subscriber *is due* once its time since
//! the last answer is over. A group is asked if one of its subscribers is due and the view may have changed
//! since the last time; one that has not changed is not asked, however often somebody is due. Time is given:
//! nothing here reads a clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::mailbox::Joining;
use super::slot::Giver;
use super::subscription::Delivered;
use crate::aggregate::Aggregate;
use crate::key::Key;
use crate::moment::Moment;
use crate::serve::{Answer, Query};

/// What a view is like now, as far as it shows whether an answer may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The latest complete moment.
    pub(super) moment: Moment,
    /// How often sealed days have gone live.
    pub(super) sealings: u64,
}

impl Seen {
    /// Whether an answer of `self` may be another one `now`. `entered` is the highest tick in which events
    /// entered; without it, any may have.
    ///
    /// Ticks rise on each worker, so within one floor an event after `self.moment` has a higher tick.
    /// Across floors two workers' ticks compare to nothing.
    fn may_differ(&self, now: &Seen, entered: Option<u64>) -> bool {
        let is_entered = entered.is_none_or(|entered| entered > self.moment.tick)
            || now.moment.floor != self.moment.floor;
        (now.moment > self.moment && is_entered) || now.sealings != self.sealings
    }
}

pub(super) struct Standing<K: Key, A: Aggregate> {
    /// By the encoded query.
    by_query: HashMap<Vec<u8>, u64>,
    groups: HashMap<u64, Group<K, A>>,
    /// The group of each subscriber.
    members: HashMap<u64, u64>,
    /// When a subscriber will be due.
    times: BTreeSet<(Instant, u64)>,
    /// Groups with a subscriber that is due.
    due: BTreeSet<u64>,
    looked: Option<Seen>,
    number: u64,
}

struct Group<K: Key, A: Aggregate> {
    encoded: Vec<u8>,
    query: Query<K>,
    members: HashMap<u64, Member<K, A>>,
    latest: Option<Delivered<K, A>>,
    /// Counts the answers that differed from the one before.
    version: u64,
    /// What the view was like when the query was last asked.
    asked: Option<Seen>,
    is_under_way: bool,
}

struct Member<K: Key, A: Aggregate> {
    giver: Giver<Delivered<K, A>>,
    every: Duration,
    /// The version that it got last.
    version: u64,
    is_due: bool,
    /// When it will be, if it is not.
    next: Instant,
}

impl<K: Key, A: Aggregate> Default for Standing<K, A> {
    fn default() -> Self {
        Standing {
            by_query: HashMap::new(),
            groups: HashMap::new(),
            members: HashMap::new(),
            times: BTreeSet::new(),
            due: BTreeSet::new(),
            looked: None,
            number: 0,
        }
    }
}

impl<K: Key, A: Aggregate> Standing<K, A> {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// When the next subscriber will be due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.times.first().map(|(next, _)| *next)
    }

    /// Takes in a subscriber. It is due at once.
    pub(super) fn join(&mut self, joining: Joining<K, A>, now: Instant) {
        let Joining { number, query, every, giver } = joining;
        let encoded = bincode::serialize(&query).expect("a query can always be encoded");
        let next_number = self.number + 1;
        let group = *self.by_query.entry(encoded.clone()).or_insert(next_number);
        self.number = self.number.max(group);
        let members = self.groups.entry(group).or_insert_with(|| Group {
            encoded,
            query,
            members: HashMap::new(),
            latest: None,
            version: 0,
            asked: None,
            is_under_way: false,
        });
        let member = Member { giver, every, version: 0, is_due: true, next: now };
        members.members.insert(number, member);
        self.members.insert(number, group);
        self.due.insert(group);
        self.looked = None;
    }

    /// Forgets a subscriber.
    pub(super) fn leave(&mut self, number: u64) {
        let Some(id) = self.members.remove(&number) else { return };
        let Some(group) = self.groups.get_mut(&id) else { return };
        if let Some(member) = group.members.remove(&number) {
            self.times.remove(&(member.next, number));
        }
        if group.members.is_empty()
            && let Some(group) = self.groups.remove(&id)
        {
            self.by_query.remove(&group.encoded);
            self.due.remove(&id);
        }
    }

    /// The groups to ask now, with their queries; who can be served without asking is.
    pub(super) fn look(
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

    /// All groups, to be asked for the last time: nobody waits to be due.
    pub(super) fn look_last(&mut self, seen: Seen) -> Vec<(u64, Query<K>)> {
        let mut asking = Vec::new();
        for (id, group) in &mut self.groups {
            group.members.values_mut().for_each(|member| member.is_due = true);
            group.ask(seen);
            asking.push((*id, group.query.clone()));
        }
        asking
    }

    /// Takes an answer in.
    pub(super) fn answered(&mut self, id: u64, answer: Answer<K, A>, now: Instant) {
        // All who wanted it may have gone.
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.is_under_way = false;
        if group.latest.as_ref().is_none_or(|latest| differs(latest, &answer)) {
            group.version += 1;
        }
        // It is as of a later moment in any case.
        group.latest = Some(Arc::new(answer));
        self.deliver(id, now);
        self.looked = None;
    }

    /// Gives a group's latest answer to those that are due and do not have it.
    fn deliver(&mut self, id: u64, now: Instant) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Some(latest) = &group.latest else { return };
        let mut is_due = false;
        for (number, member) in &mut group.members {
            if !member.is_due {
                continue;
            }
            if member.version == group.version {
                is_due = true;
                continue;
            }
            member.giver.give(Arc::clone(latest));
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

/// Whether an answer says something else than the last one: its moment alone does not count.
fn differs<K: Key, A: Aggregate>(last: &Answer<K, A>, answer: &Answer<K, A>) -> bool {
    last.certificate.sealed_through != answer.certificate.sealed_through
        || last.items != answer.items
}
