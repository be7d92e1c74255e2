//! Which session serves which datapath. Shared: dashmap, no clock.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use umlaut_openflow::{DatapathId, Version};

use crate::command::Command;
use crate::mailbox::{Full, Mailbox};
use crate::origin::Origin;
use crate::path::SessionNo;

/// A session as others see it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The session.
    pub session: SessionNo,
    /// Its mailbox.
    pub mailbox: Arc<Mailbox>,
    /// The wire version agreed.
    pub version: Version,
    /// Where it connects from.
    pub origin: Arc<Origin>,
}

/// All active sessions, by datapath and by number.
#[derive(Debug, Default)]
pub struct Directory {
    by_dpid: DashMap<DatapathId, Peer, RandomState>,
    by_session: DashMap<SessionNo, Arc<Mailbox>, RandomState>,
}

/// There is no session for this datapath, or its mailbox is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the switch is not served or its mailbox is full")]
pub struct Undelivered;

impl From<Full> for Undelivered {
    fn from(_: Full) -> Undelivered {
        Undelivered
    }
}

impl Directory {
    /// Enters a session for a datapath, or tells which one serves it already.
    ///
    /// # Errors
    /// The session that holds the datapath now.
    pub fn join(&self, dpid: DatapathId, peer: Peer) -> Result<(), Peer> {
        match self.by_dpid.entry(dpid) {
            Entry::Occupied(held) => Err(held.get().clone()),
            Entry::Vacant(place) => {
                self.by_session.insert(peer.session, peer.mailbox.clone());
                place.insert(peer);
                Ok(())
            }
        }
    }

    /// Removes a session; a datapath that another session serves by now stays.
    pub fn leave(&self, dpid: DatapathId, session: SessionNo) -> bool {
        self.by_session.remove(&session);
        self.by_dpid.remove_if(&dpid, |_, peer| peer.session == session).is_some()
    }

    /// The session of a datapath.
    pub fn peer(&self, dpid: DatapathId) -> Option<Peer> {
        Some(self.by_dpid.get(&dpid)?.clone())
    }

    /// Sends a command that may fail to a datapath.
    ///
    /// # Errors
    /// [`Undelivered`]: nothing was queued.
    pub fn offer(&self, dpid: DatapathId, command: Command) -> Result<(), Undelivered> {
        let mailbox = self.by_dpid.get(&dpid).ok_or(Undelivered)?.mailbox.clone();
        Ok(mailbox.offer(command)?)
    }

    /// How many more commands the mailbox of a datapath takes; none if it is not served.
    pub fn room(&self, dpid: DatapathId) -> usize {
        self.by_dpid.get(&dpid).map_or(0, |peer| peer.mailbox.room())
    }

    /// How many more commands the mailbox of a session takes; `None` if it has ended.
    pub fn room_of_session(&self, session: SessionNo) -> Option<usize> {
        self.by_session.get(&session).map(|mailbox| mailbox.room())
    }

    /// Sends a command that must not be lost to a datapath; there is nothing to lose if it is gone.
    pub fn insist(&self, dpid: DatapathId, command: Command) {
        let mailbox = self.by_dpid.get(&dpid).map(|peer| peer.mailbox.clone());
        if let Some(mailbox) = mailbox {
            mailbox.insist(command);
        }
    }

    /// Sends a command that must not be lost to a session; one that has ended is not missed.
    pub fn insist_session(&self, session: SessionNo, command: Command) {
        let mailbox = self.by_session.get(&session).map(|mailbox| mailbox.clone());
        if let Some(mailbox) = mailbox {
            mailbox.insist(command);
        }
    }

    /// Sends a command that must not be lost to all sessions, in order of their datapaths.
    pub fn insist_all(&self, command: impl Fn() -> Command) {
        for (_, peer) in self.peers() {
            peer.mailbox.insist(command());
        }
    }

    /// Wakes the sessions that decide something again under a new World, in order of their datapaths.
    pub(crate) fn wake_who_decides(&self) {
        let deciding = self.by_dpid.iter().filter(|peer| peer.mailbox.is_deciding());
        let mut deciding: Vec<_> =
            deciding.map(|entry| (*entry.key(), entry.mailbox.clone())).collect();
        deciding.sort_unstable_by_key(|(dpid, _)| *dpid);
        deciding.into_iter().for_each(|(_, mailbox)| mailbox.wake());
    }

    /// How many datapaths are served.
    pub fn len(&self) -> usize {
        self.by_dpid.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_dpid.is_empty()
    }

    /// All sessions, in order of their datapaths.
    pub fn peers(&self) -> Vec<(DatapathId, Peer)> {
        let mut peers: Vec<_> =
            self.by_dpid.iter().map(|entry| (*entry.key(), entry.value().clone())).collect();
        peers.sort_by_key(|(dpid, _)| *dpid);
        peers
    }

    /// Whether a number is in use.
    pub fn has_session(&self, session: SessionNo) -> bool {
        self.by_session.contains_key(&session)
    }
}
