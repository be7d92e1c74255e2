//! The hosts that a policy names. Pure.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use umlaut_openflow::MacAddr;

use crate::policy::Host;

/// Hosts in the order of the file, found by name and by MAC address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosts {
    list: Vec<Host>,
    by_name: HashTable<u32>,
    by_mac: HashTable<u32>,
    hasher: RandomState,
}

impl Hosts {
    /// Adds a host. Names and addresses are those of no other.
    pub(crate) fn push(&mut self, host: Host) {
        let Hosts { list, by_name, by_mac, hasher } = self;
        let number = list.len() as u32;
        let (name, mac) = (hasher.hash_one(&*host.name), hasher.hash_one(host.mac.to_u64()));
        list.push(host);
        let of = |number: &u32| &list[*number as usize];
        by_name.insert_unique(name, number, |number| hasher.hash_one(&*of(number).name));
        by_mac.insert_unique(mac, number, |number| hasher.hash_one(of(number).mac.to_u64()));
    }

    /// No more will be added.
    pub(crate) fn shrink(&mut self) {
        self.list.shrink_to_fit();
    }

    pub(crate) fn list(&self) -> &[Host] {
        &self.list
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Host> {
        let hash = self.hasher.hash_one(name);
        let found = self.by_name.find(hash, |number| self.list[*number as usize].name == name)?;
        Some(&self.list[*found as usize])
    }

    pub(crate) fn by_mac(&self, mac: MacAddr) -> Option<&Host> {
        let hash = self.hasher.hash_one(mac.to_u64());
        let found = self.by_mac.find(hash, |number| self.list[*number as usize].mac == mac)?;
        Some(&self.list[*found as usize])
    }
}
