//! The operator that answers queries: at once if little has to be read, otherwise on threads of a pool.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::progress::frontier::MutableAntichain;

use super::call::{Asked, Call, Piece, Question, this_process};
use super::cut::Cut;
use super::job::{Control, Id, Job, Out, Outbox};
use super::lookup::{Lookup, whole_files};
use super::reading::{Begin, Reader, Readings, Wanted};
use super::{Item, Keys, Parts, QueryError, RankFn, Shape};
use crate::aggregate::Aggregate;
use crate::archive::{ArchiveError, Keeper, Pool};
use crate::key::{Key, encoded, partition};
use crate::moment::Moment;
use crate::speed::{Captured, Layer, Lease, OUTLIVED_MAX, SharedSpeed, Speed};
use crate::store::Revision;
use crate::time::{Day, DayRange};

/// How long one activation may look up, because other operators need the worker, too. The next activation continues.
const SLICE: Duration = Duration::from_micros(200);

/// Up to this many rows are read at once, on the worker: handing them to another thread would take longer.
const ROWS_AT_ONCE: u64 = 256;

/// How long an answer may take, its asker included.
const LEASE: Duration = Duration::from_secs(60);

/// How often leases are checked. If readers hold too much memory, one of them ends at each check.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A question that is being looked up on another thread.
struct Running {
    capability: Capability<Moment>,
    control: Arc<Control>,
    lease: Arc<Lease>,
}

/// The state kept of a moment, for queries as of that moment.
struct Kept<K: Key, A: Aggregate> {
    captured: Arc<Captured<K, A>>,
    lease: Arc<Lease>,
}

/// The state of the operator.
struct LookUp<K: Key, A: Aggregate> {
    worker: u64,
    state: SharedSpeed<K, A>,
    server: usize,
    ranks: Arc<Vec<Arc<RankFn<A>>>>,
    /// In order of arrival, which is the order of moments for each asker.
    waiting: VecDeque<(Capability<Moment>, Asked<K>)>,
    running: HashMap<Id, Running>,
    kept: HashMap<u64, Kept<K, A>>,
    readings: Readings<K, A>,
    out: Arc<Outbox<K, A>>,
    pool: Pool,
    looked: Instant,
}

/// Answers queries from the data of this worker, once its speed view has all events up to the query's moment.
pub(super) fn look_up<'scope, K: Key, A: Aggregate>(
    asked: StreamVec<'scope, Moment, Asked<K>>,
    progress: StreamVec<'scope, Moment, ()>,
    state: &SharedSpeed<K, A>,
    ranks: Arc<Vec<Arc<RankFn<A>>>>,
) -> StreamVec<'scope, Moment, Piece<K, A>> {
    let state = std::rc::Rc::clone(state);
    let worker = asked.scope().index() as u64;
    let scope = asked.scope();
    let to_owner = Exchange::new(|asked: &Asked<K>| asked.to);
    asked.binary_frontier(progress, to_owner, Pipeline, "Look up", move |_, info| {
        let wake = scope.worker().sync_activator_for(info.address.to_vec());
        let again = scope.activator_for(info.address);
        let wake = std::sync::Mutex::new(wake);
        let out = Outbox::new(move || {
            let wake = wake.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            // The worker may be gone; then nobody waits.
            let _ = wake.activate();
        });
        let server = state.borrow_mut().add_server();
        let pool = state.borrow().pool().clone();
        let (waiting, running, kept) = (VecDeque::new(), HashMap::new(), HashMap::new());
        let (readings, out, looked) = (Readings::new(), Arc::new(out), Instant::now());
        let mut this = LookUp {
            worker,
            state,
            server,
            ranks,
            waiting,
            running,
            kept,
            readings,
            out,
            pool,
            looked,
        };
        move |(asked, asked_frontier), (progress, progress_frontier), output| {
            progress.for_each(|_, _| {});
            asked.for_each(|capability, data| {
                if let Some(capability) = capability.retain_least(output.output_index()) {
                    data.drain(..).for_each(|asked| this.take(&capability, asked));
                }
            });
            let asked_from = asked_frontier.frontier().first().copied();
            let complete = progress_frontier.frontier().first().copied();
            this.release(asked_from, complete);
            this.watch(asked_from.is_none());
            if this.state.borrow().error.is_some() {
                // A stopped view answers nothing; the engine reports why.
                return;
            }
            let mut give = |capability: &Capability<Moment>, piece: Piece<K, A>| {
                output.session(capability).give(piece);
            };
            this.collect(&mut give);
            if this.answer(progress_frontier, &mut give) {
                again.activate();
            }
            // The state held for the queries that have just been answered can go.
            this.release(asked_from, complete);
        }
    })
}

type Give<'a, K, A> = dyn FnMut(&Capability<Moment>, Piece<K, A>) + 'a;

impl<K: Key, A: Aggregate> LookUp<K, A> {
    /// Takes in a call. A call about a known query does not wait for its moment.
    fn take(&mut self, capability: &Capability<Moment>, asked: Asked<K>) {
        let id = |number| (asked.from, number);
        match &asked.call {
            Call::Ask(..) | Call::Hold(..) => {
                self.waiting.push_back((capability.clone(), asked));
            }
            Call::More(number, _) => {
                if let Some(running) = self.running.get(&id(*number)) {
                    running.control.more();
                }
            }
            Call::Cancel(number) => {
                let is_it = |waiting: &Asked<K>| {
                    matches!(&waiting.call, Call::Ask(other, _) if *other == *number)
                        && waiting.from == asked.from
                };
                self.waiting.retain(|(_, waiting)| !is_it(waiting));
                if let Some(running) = self.running.get(&id(*number)) {
                    running.control.cancel();
                }
            }
            Call::Release(snapshot) => {
                self.kept.remove(snapshot);
                let is_it = |call: &Call<K>| matches!(call, Call::Hold(id, ..) if id == snapshot);
                self.waiting.retain(|(_, waiting)| !is_it(&waiting.call));
            }
        }
    }

    /// Tells the tables up to which moment they may merge: no waiting or future query is before it.
    fn release(&mut self, asked_from: Option<Moment>, complete: Option<Moment>) {
        let mut state = self.state.borrow_mut();
        let held = self.waiting.iter().map(|(capability, _)| *capability.time());
        state.set_since(self.server, held.chain(asked_from).min());
        if state.fold(complete)
            && let Some(sealing) = &state.sealing
        {
            sealing.activate();
        }
    }

    /// Ends look-ups that have lasted too long; if no more calls will come, also those that wait for a call for more.
    fn watch(&mut self, is_over: bool) {
        if is_over {
            self.kept.clear();
            self.running.values().for_each(|running| running.control.stop());
        }
        if self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        if self.pool.outlived().bytes() > OUTLIVED_MAX {
            let leases = self.kept.values().map(|kept| &kept.lease);
            let leases = leases.chain(self.running.values().map(|running| &running.lease));
            let leases = leases.filter(|lease| !lease.is_over());
            let oldest = leases.filter_map(|lease| Some((lease.began()?, lease)));
            let oldest = oldest.min_by_key(|(began, _)| *began);
            oldest.into_iter().for_each(|(_, lease)| lease.end());
        }
        self.kept.retain(|_, kept| !kept.lease.is_over());
        let over = self.running.values().filter(|running| running.lease.is_over());
        over.for_each(|running| running.control.look());
    }

    /// Sends on the output of jobs.
    fn collect(&mut self, give: &mut Give<'_, K, A>) {
        for out in self.out.take() {
            match out {
                Out::Piece(piece) => {
                    let id = (piece.from, piece.number);
                    let is_last = piece.is_last;
                    if let Some(running) = self.running.get(&id) {
                        give(&running.capability, piece);
                    }
                    if is_last {
                        self.running.remove(&id);
                    }
                }
                Out::Gone(id) => drop(self.running.remove(&id)),
                Out::Opened(parts) => self.state.borrow().keep_opened(parts),
                Out::Failed(error) => self.state.borrow_mut().fail(error),
            }
        }
    }

    /// Looks up the queries that have become complete, for one slice of time. Returns whether there are more.
    fn answer(&mut self, progress: &MutableAntichain<Moment>, give: &mut Give<'_, K, A>) -> bool {
        let began = Instant::now();
        let mut at = 0;
        while at < self.waiting.len() {
            if progress.less_equal(self.waiting[at].0.time()) {
                at += 1;
                continue;
            }
            if began.elapsed() > SLICE {
                return true;
            }
            let Some((capability, asked)) = self.waiting.remove(at) else { break };
            let moment = *capability.time();
            let answered = match &asked.call {
                Call::Ask(number, question) => {
                    self.ask(&capability, (asked.from, *number, asked.of), question, give)
                }
                Call::Hold(snapshot, ms) => {
                    let mut state = self.state.borrow_mut();
                    let kept = state.kept_at(moment);
                    let days = DayRange::new(kept.first(), Day::MAX);
                    let captured = state.capture((days, kept), None, Revision::Now, moment);
                    drop(state);
                    let lease = Lease::new(Duration::from_millis(*ms));
                    captured.map(|captured| {
                        let captured = Arc::new(captured);
                        self.kept.insert(*snapshot, Kept { captured, lease });
                    })
                }
                Call::More(..) | Call::Cancel(_) | Call::Release(_) => Ok(()),
            };
            if let Err(error) = answered {
                self.state.borrow_mut().fail(error);
                return false;
            }
        }
        false
    }

    fn ask(
        &mut self,
        capability: &Capability<Moment>,
        (from, number, of): (u64, u64, u64),
        question: &Question<K>,
        give: &mut Give<'_, K, A>,
    ) -> Result<(), ArchiveError> {
        let mut state = self.state.borrow_mut();
        // A snapshot keeps the periods that were kept when it was taken.
        let kept = question.snapshot.and_then(|snapshot| self.kept.get(&snapshot));
        let kept =
            kept.map_or_else(|| state.kept_at(*capability.time()), |kept| kept.captured.kept);
        let of_kept = question.of_kept(&kept);
        let question = of_kept.as_ref().unwrap_or(question);
        state.answered += 1;
        let kept_from = kept.first_for(|grain| question.query.takes_rollups(grain));
        let removed = question.query.refused_by(state.view.calendar(), &kept);
        let moment = *capability.time();
        let mut blank = Piece {
            from,
            number,
            by: self.worker,
            of,
            as_of: moment,
            sealed_through: state.sealed_through(),
            kept_from: Some(kept_from).filter(|day| *day > Day::MIN),
            counts: state.counts(moment),
            items: Vec::new(),
            files: Vec::new(),
            is_last: true,
            cut: None,
        };
        if let Some(kept_from) = removed {
            // It was still kept when the question was asked.
            give(capability, Piece { cut: Some(Cut::Removed { kept_from }), ..blank });
            return Ok(());
        }
        if let Some(items) = one_key(&state, question, moment, &self.ranks)? {
            give(capability, Piece { items, ..blank });
            return Ok(());
        }
        let query = &question.query;
        let (joined, captured, lease) = match question.snapshot {
            Some(snapshot) => match self.kept.get(&snapshot) {
                Some(kept) if !kept.lease.is_over() => {
                    let joined = self.readings.join(question, &Wanted::Kept(&kept.captured));
                    (joined, Arc::clone(&kept.captured), Arc::clone(&kept.lease))
                }
                _ => {
                    give(capability, Piece { cut: Some(Cut::Expired), ..blank });
                    return Ok(());
                }
            },
            None => {
                let partition = match &query.keys {
                    Keys::One(key) => Some(partition(key.hash64())),
                    Keys::Range(_) => None,
                };
                let joined = self.readings.join(question, &Wanted::Moment(moment));
                let captured = match &joined {
                    Some(reader) => Arc::clone(reader.captured()),
                    None => {
                        let (days, revision) = (query.days, query.revision);
                        let of = (days, kept);
                        Arc::new(state.capture(of, partition, revision, moment)?)
                    }
                };
                // Answers taken as a whole have no pieces waiting.
                let is_whole = question.credit == u64::MAX;
                (joined, captured, Lease::new(if is_whole { Duration::MAX } else { LEASE }))
            }
        };
        drop(state);
        (blank.as_of, blank.sealed_through) = (captured.moment, captured.sealed_through);
        blank.counts = captured.counts;
        blank.is_last = false;
        let is_little = captured.rows(query.days).is_some_and(|rows| rows <= ROWS_AT_ONCE);
        if is_little {
            let all = Question { files_to: None, ..question.clone() };
            let mut lookup = Lookup::new(&all, &captured, &self.ranks)?;
            let mut all = Vec::new();
            while let Some(items) = lookup.step(&|| true)? {
                all.extend(items);
            }
            give(capability, Piece { items: all, is_last: true, ..blank });
            return Ok(());
        }
        if question.files_to == Some(this_process()) {
            let out = Arc::clone(&self.out);
            let keeper = Keeper::new(move |part| out.put(Out::Opened(vec![part])));
            let (files, rest) = whole_files(question, &captured, &keeper);
            let is_last = rest == 0;
            give(capability, Piece { files, is_last, ..blank.clone() });
            if is_last {
                return Ok(());
            }
        }
        let reader = joined.unwrap_or_else(|| {
            let (question, ranks) = (question.clone(), Arc::clone(&self.ranks));
            let reader = Reader::new(Begin { question, captured, ranks });
            self.readings.add(&reader);
            reader
        });
        let control = Control::new(question.credit, self.pool.clone());
        let job = Job {
            id: (from, number),
            blank,
            reader: Some(reader),
            lease: Arc::clone(&lease),
            control: Arc::clone(&control),
            out: Arc::clone(&self.out),
            pool: self.pool.clone(),
            ready: VecDeque::new(),
            held: None,
            is_read: false,
            is_told: false,
        };
        self.pool.submit(Box::new(job));
        let capability = capability.clone();
        self.running.insert((from, number), Running { capability, control, lease });
        Ok(())
    }
}

impl<K: Key, A: Aggregate> Drop for LookUp<K, A> {
    fn drop(&mut self) {
        self.running.values().for_each(|running| running.control.cancel());
    }
}

/// The answer for one key as of now, if little has to be read.
fn one_key<K: Key, A: Aggregate>(
    state: &Speed<K, A>,
    question: &Question<K>,
    moment: Moment,
    ranks: &[Arc<RankFn<A>>],
) -> Result<Option<Vec<Item<K, A>>>, ArchiveError> {
    let query = &question.query;
    let Keys::One(key) = &query.keys else { return Ok(None) };
    if query.revision != Revision::Now
        || query.unsealed
        || question.snapshot.is_some()
        || question.after.is_some()
        || question.limit.is_some()
    {
        return Ok(None);
    }
    let by_day = matches!(query.shape, Shape::ByDay | Shape::ByDayAndKey);
    let by_key = !matches!(query.shape, Shape::Total | Shape::ByDay);
    let mut items = std::collections::BTreeMap::new();
    if QueryError::of(query, state.view.calendar().grain(), ranks.len()).is_some() {
        // The answer carries the error.
        return Ok(Some(Vec::new()));
    }
    let mut visit = |day, layer, aggregate: &A| {
        let place = by_day.then(|| query.period_of(day, state.view.calendar()));
        let item = items.entry(place).or_insert_with(|| Item {
            day: place,
            key: by_key.then(|| key.clone()),
            revision: None,
            parts: Parts::empty(),
        });
        if let Layer::Batch(closing) = layer {
            item.revision = item.revision.max(Some(closing));
        }
        item.parts.add(layer, Cow::Borrowed(aggregate));
    };
    let bytes = encoded(key);
    let wanted = (key.hash64(), key, &bytes[..]);
    let fits = |grain| query.takes_rollups(grain);
    if !state.visit_key(wanted, (query.days, &fits), moment, &mut visit)? {
        return Ok(None);
    }
    let mut items: Vec<Item<K, A>> = items.into_values().collect();
    if let Shape::Top { n, .. } = query.shape {
        items.retain(|item| n > 0 && !item.parts.is_zero());
    }
    Ok(Some(items))
}
