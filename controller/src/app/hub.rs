//! Who watches: one stream a node, and the news that wait for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use croft_domain::id::{GroupName, NodeId};
use croft_domain::signed::Envelope;
use tokio::sync::mpsc;

use crate::limits;

/// News for a watching node.
#[derive(Clone, Debug)]
pub enum News {
    /// Its desired state changed; it is read when the news is delivered, so that only the latest counts.
    State,
    /// A recall.
    Recalled(Envelope),
    /// It no longer belongs to the fleet.
    Revoked(String),
    /// Its evidence is wanted now.
    AttestNow,
}

struct Watcher {
    number: u64,
    group: GroupName,
    sender: mpsc::Sender<News>,
}

type Watchers = HashMap<NodeId, Watcher>;

/// The watching nodes of this controller.
#[derive(Clone, Default)]
pub struct Hub {
    watchers: Arc<Mutex<Watchers>>,
    next: Arc<AtomicU64>,
}

/// A node's place among the watchers, for as long as its stream is open.
pub struct Subscription {
    hub: Hub,
    node: NodeId,
    number: u64,
    /// The news.
    pub news: mpsc::Receiver<News>,
}

impl Hub {
    /// Begins to watch. An earlier stream of the same node ends: it is the one that broke without our noticing.
    #[must_use]
    pub fn subscribe(&self, node: NodeId, group: GroupName) -> Subscription {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, news) = mpsc::channel(limits::WATCH_QUEUE_MAX);
        self.lock().insert(node, Watcher { number, group, sender });
        Subscription { hub: self.clone(), node, number, news }
    }

    /// Tells one node. Returns whether it watches.
    pub fn tell(&self, node: NodeId, news: &News) -> bool {
        self.tell_where(news, |id, _| *id == node) == 1
    }

    /// Tells a group, to which `moves` may have brought nodes since they began to watch. Returns how many watch.
    pub fn tell_group(&self, group: &GroupName, moves: &BTreeMap<NodeId, GroupName>, news: &News) -> usize {
        self.tell_where(news, |node, watcher| moves.get(node).unwrap_or(&watcher.group) == group)
    }

    /// Tells everybody. Returns how many nodes watch.
    pub fn tell_all(&self, news: &News) -> usize {
        self.tell_where(news, |_, _| true)
    }

    /// How many nodes watch.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    // A watcher whose queue is full does not read. It is let go: when it comes again, it gets the whole state.
    fn tell_where(&self, news: &News, wanted: impl Fn(&NodeId, &Watcher) -> bool) -> usize {
        let mut told = 0;
        self.lock().retain(|node, watcher| {
            if !wanted(node, watcher) {
                return true;
            }
            let sent = watcher.sender.try_send(news.clone()).is_ok();
            told += usize::from(sent);
            sent
        });
        told
    }

    fn lock(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut watchers = self.hub.lock();
        if watchers.get(&self.node).is_some_and(|watcher| watcher.number == self.number) {
            watchers.remove(&self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupName {
        name.parse().unwrap()
    }

    #[test]
    fn a_second_stream_of_a_node_replaces_the_first() {
        let hub = Hub::default();
        let mut first = hub.subscribe(NodeId([1; 16]), group("a"));
        let mut second = hub.subscribe(NodeId([1; 16]), group("a"));
        assert!(hub.tell(NodeId([1; 16]), &News::AttestNow));
        assert!(matches!(first.news.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        assert!(matches!(second.news.try_recv(), Ok(News::AttestNow)));
        drop(first);
        assert_eq!(hub.count(), 1);
        drop(second);
        assert_eq!(hub.count(), 0);
    }

    #[test]
    fn a_watcher_that_does_not_read_is_let_go() {
        let hub = Hub::default();
        let _idle = hub.subscribe(NodeId([1; 16]), group("a"));
        let _other = hub.subscribe(NodeId([2; 16]), group("b"));
        let nobody = BTreeMap::new();
        // A node that was moved hears what its new group hears.
        let moved = BTreeMap::from([(NodeId([2; 16]), group("a"))]);
        assert_eq!(hub.tell_group(&group("a"), &moved, &News::State), 2);
        for _ in 1..limits::WATCH_QUEUE_MAX {
            assert_eq!(hub.tell_group(&group("a"), &nobody, &News::State), 1);
        }
        assert_eq!(hub.tell_group(&group("a"), &nobody, &News::State), 0);
        assert_eq!((hub.count(), hub.tell_all(&News::State)), (1, 1));
    }
}
