//! Tests of pushers and their queue.

use super::*;
use crate::engine::ingest::once::OnceError;
use crate::engine::ingest::receipt::WaitError;

fn queue() -> (Arc<Queue<EventTime>>, Pusher<EventTime>) {
    Queue::new(LiveOptions::new(|time| *time), Clock::default(), Arc::default())
}

#[test]
fn an_event_from_the_future_comes_back() {
    let (queue, pusher) = queue();
    let now = Clock::default().now();
    let future = now + 3 * 86_400_000;
    assert_eq!(pusher.push(vec![now, future, 5]).unwrap().refused, [future]);
    let batch = queue.take().unwrap();
    assert_eq!((batch.events, batch.refused), (vec![now, 5], 1));
}

#[test]
fn an_event_that_is_too_old_comes_back() {
    let options = LiveOptions { behind_limit: 1_000, ..LiveOptions::new(|time| *time) };
    let (queue, pusher) = Queue::<EventTime>::new(options, Clock::default(), Arc::default());
    queue.clock.set(|| 10_000);
    assert_eq!(pusher.push(vec![9_000, 8_999, EventTime::MIN]).unwrap().refused.len(), 2);
    assert_eq!(queue.take().unwrap().events, [9_000]);
    let refusal = pusher.check(&8_999).unwrap_err();
    assert_eq!(refusal, EventRefusal::Old { behind: duration(1_001), limit: duration(1_000) });
}

#[test]
fn nothing_is_let_in_while_a_view_is_near_a_bound() {
    let (queue, pusher) = queue();
    queue.hold(true);
    let refused = pusher.try_push(vec![5]).unwrap_err();
    assert_eq!((refused.refusal, refused.events), (PushRefusal::Full, vec![5]));
    let waiting = std::thread::spawn(move || pusher.push(vec![6]).is_ok());
    queue.hold(false);
    assert!(waiting.join().unwrap());
    assert_eq!(queue.take().unwrap().events, [6]);
}

#[test]
fn the_clock_goes_on_without_events_and_waits_for_those_that_wait() {
    let (queue, pusher) = queue();
    let before = Clock::default().now();
    assert!(queue.watermark() >= Some(before), "a quiet source's watermark is the clock");
    assert!(pusher.push(vec![before]).unwrap().refused.is_empty());
    let held = queue.watermark().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert_eq!(queue.watermark(), Some(held), "what waits holds the watermark");
    drop(pusher);
    assert_eq!(queue.watermark(), Some(held), "the source ends when all has entered");
    assert!(queue.take().is_some());
    assert_eq!(queue.watermark(), None);
}

#[test]
fn a_request_with_a_key_holds_the_clock_until_it_is_answered() {
    let (queue, pusher) = queue();
    queue.keep_keys(EventCodec::new(|time: &EventTime| *time));
    let limit = std::time::Duration::from_millis(1);
    let asked = pusher.push_once("key", vec![1, 2], limit);
    assert!(matches!(asked, Err(OnceError::Unknown { error: WaitError::TimedOut { .. } })));
    let request = queue.take_request().unwrap();
    assert_eq!((&request.key[..], request.count), ("key", 2));
    let held = queue.watermark().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    drop(pusher);
    queue.close();
    assert_eq!(queue.watermark(), Some(held), "nobody waits, but its events may yet enter");
    queue.answer(request.id, Reply::Reused);
    assert_eq!(queue.watermark(), None);
}

#[test]
fn requests_with_a_key_wait_for_room_of_their_own() {
    let options = LiveOptions { waiting: 2, ..LiveOptions::new(|time: &EventTime| *time) };
    let (queue, pusher) = Queue::new(options, Clock::default(), Arc::default());
    queue.keep_keys(EventCodec::new(|time: &EventTime| *time));
    let limit = std::time::Duration::from_millis(1);
    let ask = |key| pusher.push_once(key, vec![1, 2], limit).unwrap_err();
    assert!(matches!(ask("a"), OnceError::Unknown { .. }));
    assert!(matches!(ask("b"), OnceError::Full { events, .. } if events == [1, 2]));
    let request = queue.take_request().unwrap();
    assert!(matches!(ask("b"), OnceError::Full { .. }), "it has no answer");
    queue.answer(request.id, Reply::Unreadable);
    assert!(matches!(ask("b"), OnceError::Unknown { .. }));
}

#[test]
fn pushes_wait_for_room_by_events_too() {
    let options = LiveOptions { waiting: 10, ..LiveOptions::new(|time: &EventTime| *time) };
    let (queue, pusher) = Queue::new(options, Clock::default(), Arc::default());
    let push = |events| assert!(pusher.push(events).unwrap().refused.is_empty());
    let is_full = || queue.is_full(&queue.lock());
    push(vec![1; 9]);
    assert!(!is_full());
    push(vec![2; 50]);
    assert!(is_full());
    let refused = pusher.try_push(vec![3]).unwrap_err();
    assert_eq!((refused.events, refused.refusal), (vec![3], PushRefusal::Full));
    let limit = Duration::from_millis(1);
    let refused = pusher.push_timeout(vec![3], limit).unwrap_err();
    assert_eq!((refused.events, refused.refusal), (vec![3], PushRefusal::TimedOut { limit }));
    queue.take().unwrap();
    assert!(is_full(), "50 events wait");
    queue.take().unwrap();
    assert!(!is_full());
    assert!(pusher.try_push(vec![3]).is_ok());
}

#[test]
fn tasks_wait_for_room_and_leave_nothing_behind() {
    let (queue, pusher) = queue();
    for _ in 0..BATCHES_WAITING {
        assert!(pusher.push(vec![1]).unwrap().refused.is_empty());
    }
    let mut context = Context::from_waker(Waker::noop());
    let mut pushing: Vec<_> = (0..3).map(|n| Box::pin(pusher.push_async(vec![n]))).collect();
    for _ in 0..2 {
        let pending = pushing.iter_mut().map(|push| push.as_mut().poll(&mut context));
        assert!(pending.into_iter().all(|polled| polled.is_pending()));
    }
    assert_eq!(queue.lock().tasks.len(), 3);
    pushing.pop();
    assert_eq!(queue.lock().tasks.len(), 2, "who gives up is forgotten");
    queue.take().unwrap();
    let Poll::Ready(Ok(pushed)) = pushing[1].as_mut().poll(&mut context) else {
        panic!("there is room");
    };
    assert!(pushed.refused.is_empty());
    assert!(pushing[0].as_mut().poll(&mut context).is_pending(), "and no more");
    queue.close();
    let Poll::Ready(Err(error)) = pushing[0].as_mut().poll(&mut context) else {
        panic!("the end is told");
    };
    assert_eq!((error.events, error.refusal), (vec![0], PushRefusal::Stopped));
    drop(pushing);
    assert_eq!(queue.lock().tasks.len(), 0);
    assert_eq!(queue.lock().pushers, 1);
}

#[test]
fn pushes_wait_for_room_and_end_with_the_engine() {
    let (queue, pusher) = queue();
    for _ in 0..BATCHES_WAITING {
        assert!(pusher.push(vec![1]).unwrap().refused.is_empty());
    }
    let waiting = std::thread::spawn(move || pusher.push(vec![2, 3]).map_err(|e| e.events).err());
    queue.close();
    assert_eq!(waiting.join().unwrap(), Some(vec![2, 3]));
}
