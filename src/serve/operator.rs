//! The join of queries with the view: one arrow after the other.

use std::collections::HashMap;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::answering::look_up;
use super::call::{Asked, Call, Piece, Question};
use super::merge::Merge;
use super::{Answer, Keys, Query, QueryError, RankFn, Shape};
use crate::aggregate::Aggregate;
use crate::key::{Key, owner, partition};
use crate::moment::Moment;
use crate::speed::SharedSpeed;
use crate::time::Calendar;
use crate::view::KeptFrom;

/// What keys are ranked by.
type Ranks<A> = Arc<Vec<Arc<RankFn<A>>>>;

/// Joins queries with a view: each query is answered as of its own moment, on the worker that asked.
pub(crate) fn serve<'scope, K: Key, A: Aggregate>(
    queries: StreamVec<'scope, Moment, Query<K>>,
    progress: StreamVec<'scope, Moment, ()>,
    state: &SharedSpeed<K, A>,
    ranks: Ranks<A>,
) -> StreamVec<'scope, Moment, Answer<K, A>> {
    let known = (state.borrow().view.calendar().clone(), state.borrow().kept());
    let (calls, asking) = call(queries, known, ranks.len());
    let pieces = serve_calls(calls, progress, state, Arc::clone(&ranks));
    gather(pieces, asking, ranks)
}

/// Joins calls with a view. The output is pieces of answers, each addressed to a worker.
pub(crate) fn serve_calls<'scope, K: Key, A: Aggregate>(
    calls: StreamVec<'scope, Moment, Call<K>>,
    progress: StreamVec<'scope, Moment, ()>,
    state: &SharedSpeed<K, A>,
    ranks: Ranks<A>,
) -> StreamVec<'scope, Moment, Piece<K, A>> {
    look_up(route(calls), progress, state, ranks)
}

/// Sends each piece to the worker that asked.
pub(crate) fn to_asker<K: Key, A: Aggregate>()
-> Exchange<Piece<K, A>, impl FnMut(&Piece<K, A>) -> u64 + 'static> {
    Exchange::new(|piece: &Piece<K, A>| piece.from)
}

/// A query that is not answered yet.
struct Unanswered {
    id: u64,
    shape: Shape,
    error: Option<QueryError>,
}

/// The questions of a worker, by number.
type Asking = std::rc::Rc<std::cell::RefCell<HashMap<u64, Unanswered>>>;

/// Numbers queries to a view with this calendar, number of measures, and what was kept as the program started.
fn call<K: Key>(
    queries: StreamVec<'_, Moment, Query<K>>,
    (calendar, kept): (Calendar, KeptFrom),
    measures: usize,
) -> (StreamVec<'_, Moment, Call<K>>, Asking) {
    let asking = Asking::default();
    let noted = std::rc::Rc::clone(&asking);
    let mut number = 0;
    let name = "Call";
    let calls =
        queries.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, name, move |_, _| {
            move |input, output| {
                input.for_each(|capability, data| {
                    let mut session = output.session(&capability);
                    for query in data.drain(..) {
                        number += 1;
                        let removed = query.refused_by(&calendar, &kept);
                        let removed = removed.map(|kept_from| QueryError::Removed { kept_from });
                        let error =
                            removed.or_else(|| QueryError::of(&query, calendar.grain(), measures));
                        let unanswered = Unanswered { id: query.id, shape: query.shape, error };
                        noted.borrow_mut().insert(number, unanswered);
                        session.give(Call::Ask(number, Question::whole(query)));
                    }
                });
            }
        });
    (calls, asking)
}

/// Sends a question to the owner of its key, and everything else to every worker.
///
/// It is a separate operator because an exchange holds what an input sends until the input advances, while the output
/// of an operator is flushed when it returns.
fn route<K: Key>(calls: StreamVec<'_, Moment, Call<K>>) -> StreamVec<'_, Moment, Asked<K>> {
    let scope = calls.scope();
    let (from, peers) = (scope.index() as u64, scope.peers());
    calls.unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "Route", move |_, _| {
        move |input, output| {
            input.for_each(|capability, data| {
                let mut session = output.session(&capability);
                for call in data.drain(..) {
                    let asked = |to: u64, of: u64, call| Asked { to, from, of, call };
                    if let Call::Ask(_, question) = &call
                        && let Keys::One(key) = &question.query.keys
                    {
                        let to = owner(partition(key.hash64()), peers) as u64;
                        session.give(asked(to, 1, call));
                    } else if let Call::More(_, to) = call {
                        session.give(asked(to, 1, call));
                    } else {
                        let all = peers as u64;
                        session.give_iterator((0..all).map(|to| asked(to, all, call.clone())));
                    }
                }
            });
        }
    })
}

/// Combines the pieces of an answer on the worker that asked.
fn gather<'scope, K: Key, A: Aggregate>(
    pieces: StreamVec<'scope, Moment, Piece<K, A>>,
    asking: Asking,
    ranks: Ranks<A>,
) -> StreamVec<'scope, Moment, Answer<K, A>> {
    pieces.unary::<CapacityContainerBuilder<_>, _, _, _>(to_asker(), "Gather", move |_, _| {
        let mut open: HashMap<u64, (Capability<Moment>, Merge<K, A>)> = HashMap::new();
        move |input, output| {
            input.for_each(|capability, data| {
                let Some(held) = capability.retain_least(output.output_index()) else { return };
                for piece in data.drain(..) {
                    let number = piece.number;
                    let shape = asking.borrow().get(&number).map(|asked| asked.shape);
                    let Some(shape) = shape else { continue };
                    let begin = || (held.clone(), Merge::new(shape, Arc::clone(&ranks)));
                    let (_, merge) = open.entry(number).or_insert_with(begin);
                    merge.add(piece);
                    if !merge.is_complete() {
                        continue;
                    }
                    let asked = asking.borrow_mut().remove(&number);
                    let (id, error) = asked.map_or((0, None), |asked| (asked.id, asked.error));
                    let Some((capability, merge)) = open.remove(&number) else { continue };
                    let Some(certificate) = merge.certificate() else { continue };
                    // In a dataflow no answer waits for its reader, so none expires.
                    let error = error.or(merge.cut().and_then(QueryError::of_cut));
                    let items = merge.finish(id).map_or_else(|_| Vec::new(), |answer| answer.items);
                    output.session(&capability).give(Answer { id, certificate, items, error });
                }
            });
        }
    })
}
