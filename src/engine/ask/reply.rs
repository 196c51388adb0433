//! Delivers the pieces of answers to those who asked, in this process.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use timely::dataflow::StreamVec;
use timely::dataflow::operators::generic::Operator;

use super::mailbox::{Mailbox, Pieces};
use super::slot::Giver;
use super::standing::{Standing, differs};
use crate::aggregate::Aggregate;
use crate::archive::Pool;
use crate::key::Key;
use crate::moment::Moment;
use crate::serve::{Answer, Merge, Piece, to_asker};

/// Answers of subscriptions with more items are merged on a thread of the pool.
const AT_ONCE: usize = 256;

/// The recipient of an answer.
pub(crate) enum Reply<K: Key, A: Aggregate> {
    /// One asker, and the number of workers that have sent everything.
    One(Giver<Pieces<K, A>>, u64),
    /// The subscribers of a query, and the pieces that have arrived.
    Group(u64, Merge<K, A>),
}

/// An answer of a group that was merged on the pool, and whether it differs from the one before.
type Finished<K, A> = (u64, Answer<K, A>, bool);

/// The recipients, by the number of the question.
pub(crate) struct Replies<K: Key, A: Aggregate> {
    open: RefCell<HashMap<u64, Reply<K, A>>>,
    pub(crate) standing: RefCell<Standing<K, A>>,
    finished: Arc<Mutex<Vec<Finished<K, A>>>>,
    mailbox: Arc<Mailbox<K, A>>,
    pool: Pool,
    /// Nobody will collect answers that are finished elsewhere.
    is_last: Cell<bool>,
}

impl<K: Key, A: Aggregate> Replies<K, A> {
    pub(crate) fn new(mailbox: &Arc<Mailbox<K, A>>, pool: &Pool) -> Rc<Self> {
        Rc::new(Replies {
            open: RefCell::default(),
            standing: RefCell::default(),
            finished: Arc::default(),
            mailbox: Arc::clone(mailbox),
            pool: pool.clone(),
            is_last: Cell::new(false),
        })
    }

    pub(crate) fn insert(&self, number: u64, reply: Reply<K, A>) {
        self.open.borrow_mut().insert(number, reply);
    }

    /// Removes the recipient of an answer; returns whether there was one.
    pub(crate) fn remove(&self, number: u64) -> bool {
        self.open.borrow_mut().remove(&number).is_some()
    }

    pub(crate) fn is_open(&self, number: u64) -> bool {
        self.open.borrow().contains_key(&number)
    }

    /// Prepares for the last answers of subscribers, which are merged on this thread. Forgets the questions asked for
    /// them before, and returns their numbers. Look-ups run in parallel, and an earlier answer must neither replace the
    /// last one nor come after it.
    pub(crate) fn end(&self) -> Vec<u64> {
        self.is_last.set(true);
        let is_of_group = |_: &u64, reply: &mut Reply<K, A>| matches!(reply, Reply::Group(..));
        self.open.borrow_mut().extract_if(is_of_group).map(|(number, _)| number).collect()
    }

    /// Gives subscribers the answers that were merged on the pool.
    pub(crate) fn take_finished(&self) {
        let mut finished = self.finished.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let finished = std::mem::take(&mut *finished);
        for (group, answer, differs) in finished {
            self.standing.borrow_mut().settled(group, answer, differs, Instant::now());
        }
    }

    /// Adds a piece.
    fn add(&self, piece: Piece<K, A>) {
        let (number, of, is_last) = (piece.number, piece.of, piece.is_last);
        let mut open = self.open.borrow_mut();
        // The asker may have given up; then the piece is dropped.
        let is_over = match open.get_mut(&number) {
            None => return,
            Some(Reply::One(giver, over)) => {
                *over += u64::from(is_last);
                giver.push(piece);
                *over == of
            }
            Some(Reply::Group(_, merge)) => {
                merge.add(piece);
                merge.is_complete()
            }
        };
        if is_over && let Some(Reply::Group(group, merge)) = open.remove(&number) {
            drop(open);
            self.finish(group, merge);
        }
    }

    fn finish(&self, group: u64, merge: Merge<K, A>) {
        if merge.len() <= AT_ONCE || self.is_last.get() {
            // A whole answer is never cut short.
            if let Ok(answer) = merge.finish(0) {
                self.standing.borrow_mut().answered(group, answer, Instant::now());
            }
            return;
        }
        let latest = self.standing.borrow().latest(group);
        let (finished, mailbox) = (Arc::clone(&self.finished), Arc::clone(&self.mailbox));
        self.pool.run(move || {
            let Ok(answer) = merge.finish(0) else { return };
            let differs = latest.is_none_or(|latest| differs(&latest, &answer));
            let mut finished = finished.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            finished.push((group, answer, differs));
            drop(finished);
            mailbox.wake();
        });
    }
}

/// Delivers pieces to those who asked.
pub(crate) fn reply<K: Key, A: Aggregate>(
    pieces: StreamVec<'_, Moment, Piece<K, A>>,
    replies: &Rc<Replies<K, A>>,
) {
    let replies = Rc::clone(replies);
    pieces.sink(to_asker(), "Reply", move |(input, _frontier)| {
        input.for_each(|_, pieces| pieces.drain(..).for_each(|piece| replies.add(piece)));
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::aggregate::Count;
    use crate::engine::ask::mailbox::Joining;
    use crate::engine::ask::slot::slot;
    use crate::engine::ask::standing::Seen;
    use crate::serve::{Item, Parts, Query, Shape};
    use crate::speed::Counts;
    use crate::time::DayRange;

    fn piece(number: u64, count: i64) -> Piece<u64, Count> {
        let parts = Parts { batch: None, speed: Some(Count(count)), amendments: None };
        Piece {
            from: 0,
            number,
            by: 0,
            of: 1,
            as_of: Moment::new(0, number),
            sealed_through: None,
            kept_from: None,
            counts: Counts::default(),
            items: vec![Item { day: None, key: None, revision: None, parts }],
            files: Vec::new(),
            is_last: true,
            cut: None,
        }
    }

    /// Whatever the order in which an earlier question and the last one are answered, the last answer is delivered.
    #[test]
    fn no_earlier_answer_takes_the_place_of_the_last_one() {
        for order in [[1, 2], [2, 1]] {
            let replies = Replies::<u64, Count>::new(&Arc::new(Mailbox::new()), &Pool::new());
            let ((giver, taker), now) = (slot(), Instant::now());
            let (query, every) = (Query::total(DayRange::ALL), Duration::ZERO);
            replies.standing.borrow_mut().join(Joining { number: 1, query, every, giver }, now);
            let seen = |tick| Seen { moment: Moment::new(0, tick), sealings: 0 };
            let merge = || Merge::new(Shape::Total, Arc::default());
            let asked = replies.standing.borrow_mut().look(seen(1), None, now);
            replies.insert(1, Reply::Group(asked[0].0, merge()));

            assert_eq!(replies.end(), [1], "it is under way");
            let asked = replies.standing.borrow_mut().look_last(seen(2));
            replies.insert(2, Reply::Group(asked[0].0, merge()));
            let mut last = None;
            for number in order {
                replies.add(piece(number, number as i64));
                last = taker.try_take().unwrap().or(last);
            }
            assert_eq!(last.and_then(|(_, answer)| answer.value()), Some(Count(2)), "{order:?}");
        }
    }
}
