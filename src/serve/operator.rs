//! The join of queries with the view.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::{Capability, CapabilityTrait};

use super::answer::{Answer, Certificate, Gather, Item, QueryError};
use super::{Keys, Query, RankFn, Shape};
use crate::aggregate::Aggregate;
use crate::archive::ArchiveError;
use crate::batch::Prefix;
use crate::key::{Key, encoded, owner, partition};
use crate::moment::Moment;
use crate::speed::{Counts, Shared, Speed, Wanted};
use crate::time::Day;

/// A query on its way to one of the workers that answer it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
struct Asked<K: Key> {
    /// The worker that answers.
    to: u64,
    /// The worker that asked, and its number for the query.
    from: u64,
    number: u64,
    /// How many workers answer.
    of: u64,
    query: Query<K>,
}

/// One worker's part of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
struct Partial<K: Key, A: Aggregate> {
    from: u64,
    number: u64,
    of: u64,
    id: u64,
    shape: Shape,
    as_of: Moment,
    sealed_through: Option<Day>,
    counts: Counts,
    items: Vec<Item<K, A>>,
}

/// Joins queries with a view: each is answered as of its own moment, on the worker that asked.
pub(crate) fn serve<'scope, K: Key, A: Aggregate>(
    queries: StreamVec<'scope, Moment, Query<K>>,
    progress: StreamVec<'scope, Moment, ()>,
    state: &Shared<K, A>,
    measures: Arc<Vec<Arc<RankFn<A>>>>,
) -> StreamVec<'scope, Moment, Answer<K, A>> {
    let asked = route(queries);
    let partials = look_up(asked, progress, state, Arc::clone(&measures));
    gather(partials, measures)
}

/// Sends a query to the owner of its key, or to every worker.
///
/// An operator of its own: what an input sends straight into an exchange waits there until the input
/// advances, what an operator sends is flushed when it returns.
fn route<K: Key>(queries: StreamVec<'_, Moment, Query<K>>) -> StreamVec<'_, Moment, Asked<K>> {
    let scope = queries.scope();
    let (from, peers) = (scope.index() as u64, scope.peers());
    let mut number = 0;
    queries.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "Route", move |_, _| {
        move |input, output| {
            input.for_each(|capability, data| {
                let mut session = output.session(&capability);
                for query in data.drain(..) {
                    number += 1;
                    let asked = |to: u64, of: u64, query| Asked { to, from, number, of, query };
                    if let Keys::One(key) = &query.keys {
                        let to = owner(partition(key.hash64()), peers) as u64;
                        session.give(asked(to, 1, query));
                    } else {
                        let all = peers as u64;
                        session.give_iterator((0..all).map(|to| asked(to, all, query.clone())));
                    }
                }
            });
        }
    })
}

/// Answers queries from what this worker holds, once its speed view has all of the query's moment.
fn look_up<'scope, K: Key, A: Aggregate>(
    asked: StreamVec<'scope, Moment, Asked<K>>,
    progress: StreamVec<'scope, Moment, ()>,
    state: &Shared<K, A>,
    measures: Arc<Vec<Arc<RankFn<A>>>>,
) -> StreamVec<'scope, Moment, Partial<K, A>> {
    let state = Rc::clone(state);
    let server = state.borrow_mut().add_server();
    let to_owner = Exchange::new(|asked: &Asked<K>| asked.to);
    let name = "Look up";
    asked.binary_frontier(progress, to_owner, Pipeline, name, move |_, _| {
        let mut waiting: Vec<(Capability<Moment>, Vec<Asked<K>>)> = Vec::new();
        move |(asked, asked_frontier), (progress, progress_frontier), output| {
            progress.for_each(|_, _| {});
            asked.for_each(|capability, data| {
                if let Some(capability) = capability.retain_least(output.output_index()) {
                    waiting.push((capability, std::mem::take(data)));
                }
            });
            let mut state = state.borrow_mut();
            let asked_from = asked_frontier.frontier().first().copied();
            let complete = progress_frontier.frontier().first().copied();
            let release = |state: &mut Speed<K, A>, waiting: &[(Capability<Moment>, _)]| {
                let held = waiting.iter().map(|(capability, _)| *capability.time());
                state.set_since(server, held.chain(asked_from).min());
                if state.fold(complete)
                    && let Some(sealing) = &state.sealing
                {
                    sealing.activate();
                }
            };
            release(&mut state, &waiting);
            if state.error.is_some() {
                // Nothing is answered from a view that stopped; the engine reports why.
                return;
            }
            let mut failed = None;
            waiting.retain_mut(|(capability, asked)| {
                let moment = *capability.time();
                if failed.is_some() || progress_frontier.less_equal(&moment) {
                    return true;
                }
                state.answered += asked.len() as u64;
                let mut session = output.session(&*capability);
                for asked in asked.drain(..) {
                    match partial(&state, asked, moment, &measures) {
                        Ok(partial) => session.give(partial),
                        Err(error) => failed = Some(error),
                    }
                }
                false
            });
            if let Some(error) = failed {
                state.fail(error);
            }
            // What was held for the queries that have just been answered can go.
            release(&mut state, &waiting);
        }
    })
}

fn partial<K: Key, A: Aggregate>(
    state: &Speed<K, A>,
    asked: Asked<K>,
    moment: Moment,
    measures: &[Arc<RankFn<A>>],
) -> Result<Partial<K, A>, ArchiveError> {
    let Asked { from, number, of, query, .. } = asked;
    let mut gather = Gather::new(&query);
    let bytes;
    let wanted = match &query.keys {
        Keys::One(key) => {
            bytes = encoded(key);
            Wanted::One(key.hash64(), key, &bytes)
        }
        Keys::Range(range) => {
            let is_total = matches!(query.shape, Shape::Total | Shape::ByDay);
            Wanted::Range(range, is_total.then(|| Prefix::of::<K>(range)).flatten())
        }
    };
    state.visit(
        &wanted,
        query.days,
        query.revision,
        moment,
        &mut |day, key, layer, aggregate| {
            gather.add(day, key, layer, aggregate);
        },
    )?;
    Ok(Partial {
        from,
        number,
        of,
        id: query.id,
        shape: query.shape,
        as_of: moment,
        sealed_through: state.sealed_through(),
        counts: state.counts(moment),
        items: gather.partial(measures),
    })
}

/// Combines the parts of an answer on the worker that asked.
fn gather<'scope, K: Key, A: Aggregate>(
    partials: StreamVec<'scope, Moment, Partial<K, A>>,
    measures: Arc<Vec<Arc<RankFn<A>>>>,
) -> StreamVec<'scope, Moment, Answer<K, A>> {
    let to_asker = Exchange::new(|partial: &Partial<K, A>| partial.from);
    partials.unary::<CapacityContainerBuilder<_>, _, _, _>(to_asker, "Gather", move |_, _| {
        let mut open: HashMap<u64, Open<K, A>> = HashMap::new();
        move |input, output| {
            input.for_each(|capability, data| {
                let Some(held) = capability.retain_least(output.output_index()) else { return };
                for partial in data.drain(..) {
                    let number = partial.number;
                    let place = open.entry(number);
                    let open_answer = place.or_insert_with(|| Open::new(&partial, held.clone()));
                    open_answer.add(partial);
                    if open_answer.missing == 0
                        && let Some(done) = open.remove(&number)
                    {
                        let (capability, answer) = done.finish(&measures);
                        give(output.session(&capability), answer);
                    }
                }
            });
        }
    })
}

type AnswerSession<'a, 'b, K, A, C> = timely::dataflow::operators::generic::Session<
    'a,
    'b,
    Moment,
    CapacityContainerBuilder<Vec<Answer<K, A>>>,
    C,
>;

fn give<K: Key, A: Aggregate, C: CapabilityTrait<Moment>>(
    mut session: AnswerSession<'_, '_, K, A, C>,
    answer: Answer<K, A>,
) {
    session.give(answer);
}

/// An answer some of whose parts are missing.
struct Open<K: Key, A: Aggregate> {
    capability: Capability<Moment>,
    missing: u64,
    id: u64,
    certificate: Certificate,
    gather: Gather<K, A>,
}

impl<K: Key, A: Aggregate> Open<K, A> {
    fn new(partial: &Partial<K, A>, capability: Capability<Moment>) -> Self {
        Open {
            capability,
            missing: partial.of,
            id: partial.id,
            certificate: Certificate {
                as_of: partial.as_of,
                sealed_through: partial.sealed_through,
                late: partial.counts.late,
                refused: partial.counts.refused,
            },
            gather: Gather::with_shape(partial.shape),
        }
    }

    fn add(&mut self, partial: Partial<K, A>) {
        self.missing -= 1;
        assert_eq!(self.certificate.as_of, partial.as_of, "one answer, one moment");
        // Workers swap files in at different instants; what all have swapped is what is claimed.
        let through = self.certificate.sealed_through.min(partial.sealed_through);
        self.certificate.sealed_through = through;
        self.gather.merge(partial.items);
    }

    fn finish(self, measures: &[Arc<RankFn<A>>]) -> (Capability<Moment>, Answer<K, A>) {
        let answer = Answer {
            id: self.id,
            certificate: self.certificate,
            error: QueryError::of(self.gather.shape(), measures.len()),
            items: self.gather.finish(measures),
        };
        (self.capability, answer)
    }
}
