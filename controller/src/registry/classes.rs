//! What paths of one switch have in common, each kind of it once. Pure.
//!
//! A switch may have a million paths, but few widths, time-outs, VLANs and applications, and still fewer
//! of these together. A path has the number of its class, two bytes instead of twelve.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use umlaut_openflow::{FieldSet, Vid};

use crate::app::AppNo;

/// How many classes there are at most.
const CLASSES: usize = 1 << u16::BITS;

/// What is the same for all paths of a class.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Class {
    pub(super) width: FieldSet,
    /// Of the frames at the end of the path.
    pub(super) vid: Vid,
    /// In seconds.
    pub(super) idle_timeout: u16,
    pub(super) hard_timeout: u16,
    pub(super) app: AppNo,
    /// Whether frames are sent on and not dropped.
    pub(super) forwards: bool,
}

/// The number of a class that a path has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct ClassNo(u16);

/// The classes of one switch.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// With how many paths have them; those that none has are free.
    all: Vec<(Class, u32)>,
    free: Vec<ClassNo>,
    by_class: HashMap<Class, ClassNo, RandomState>,
    /// The one that was entered last, as the next path's is mostly the same.
    last: ClassNo,
    /// The widths of those that forward, with how many have them; what is found comes to the front.
    widths: Vec<(FieldSet, u32)>,
}

impl Classes {
    /// The class of this number.
    ///
    /// # Panics
    /// If there never was one.
    #[inline]
    pub(super) fn of(&self, ClassNo(no): ClassNo) -> &Class {
        &self.all[usize::from(no)].0
    }

    /// A further path has this class. `None` if there are too many others.
    #[inline]
    pub(super) fn enter(&mut self, class: Class) -> Option<ClassNo> {
        let last = self.last;
        match self.all.get_mut(usize::from(last.0)) {
            Some((same, paths @ 1..)) if *same == class => {
                *paths += 1;
                Some(last)
            }
            _ => self.enter_another(class),
        }
    }

    #[inline(never)]
    fn enter_another(&mut self, class: Class) -> Option<ClassNo> {
        let no = match self.by_class.get(&class) {
            Some(no) => *no,
            None => self.make(class)?,
        };
        self.all[usize::from(no.0)].1 += 1;
        self.last = no;
        Some(no)
    }

    fn make(&mut self, class: Class) -> Option<ClassNo> {
        let no = match self.free.pop() {
            Some(no) => no,
            None if self.all.len() >= CLASSES => return None,
            None => {
                self.all.push((class, 0));
                ClassNo((self.all.len() - 1) as u16)
            }
        };
        self.all[usize::from(no.0)] = (class, 0);
        self.by_class.insert(class, no);
        if class.forwards {
            match self.widths.iter_mut().find(|(width, _)| *width == class.width) {
                Some((_, classes)) => *classes += 1,
                None => self.widths.push((class.width, 1)),
            }
        }
        Some(no)
    }

    /// One of its paths is gone.
    #[inline]
    pub(super) fn leave(&mut self, no: ClassNo) {
        let (_, paths) = &mut self.all[usize::from(no.0)];
        *paths -= 1;
        if *paths == 0 {
            self.forget(no);
        }
    }

    #[inline(never)]
    fn forget(&mut self, no: ClassNo) {
        let (class, _) = self.all[usize::from(no.0)];
        self.by_class.remove(&class);
        self.free.push(no);
        if class.forwards
            && let Some(at) = self.widths.iter().position(|(width, _)| *width == class.width)
        {
            self.widths[at].1 -= 1;
            if self.widths[at].1 == 0 {
                self.widths.swap_remove(at);
            }
        }
    }

    /// How many paths have a class.
    #[cfg(test)]
    pub(super) fn paths(&self) -> usize {
        self.all.iter().map(|(_, paths)| *paths as usize).sum()
    }

    /// The widths under which frames are sent on: those that frames had of late are in front.
    #[inline]
    pub(super) fn widths(&self) -> impl Iterator<Item = FieldSet> {
        self.widths.iter().map(|(width, _)| *width)
    }

    /// A frame had the width at this place.
    #[inline]
    pub(super) fn had_width(&mut self, at: usize) {
        if at > 0 {
            self.widths.swap(0, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use umlaut_openflow::VlanId;

    use super::*;

    fn class(n: u16) -> Class {
        Class {
            width: if n.is_multiple_of(2) { FieldSet::LAYER_2 } else { FieldSet::ETH_SRC },
            vid: Vid::Untagged,
            idle_timeout: n,
            hard_timeout: 0,
            app: AppNo(1),
            forwards: !n.is_multiple_of(5),
        }
    }

    proptest! {
        /// Every path's number is that of its class as long as it has one, equal ones have the same, and
        /// there are the widths of those that forward.
        #[test]
        fn each_path_has_its_class(
            steps in prop::collection::vec((0u16..8, any::<bool>()), 0..200),
        ) {
            let (mut classes, mut held) = (Classes::default(), BTreeMap::<u16, Vec<ClassNo>>::new());
            for (n, enter) in steps {
                let of_it = held.entry(n).or_default();
                if enter {
                    of_it.push(classes.enter(class(n)).unwrap());
                } else if let Some(no) = of_it.pop() {
                    classes.leave(no);
                }
                held.retain(|_, of_it| !of_it.is_empty());
                for (n, of_it) in &held {
                    prop_assert_eq!(*classes.of(of_it[0]), class(*n));
                    prop_assert!(of_it.iter().all(|no| *no == of_it[0]));
                }
                prop_assert_eq!(classes.by_class.len(), held.len());
                prop_assert!(classes.all.len() <= 8);
                let mut widths: Vec<_> = classes.widths().collect();
                widths.sort_by_key(|width| width.bits());
                let mut of_those: Vec<_> = held.keys().map(|n| class(*n))
                    .filter(|class| class.forwards).map(|class| class.width).collect();
                of_those.sort_by_key(|width| width.bits());
                of_those.dedup();
                prop_assert_eq!(widths, of_those);
            }
        }
    }

    #[test]
    fn one_too_many_is_refused_and_changes_nothing() {
        let mut classes = Classes::default();
        let all: Vec<_> = (0..=u16::MAX).map(|n| classes.enter(class(n)).unwrap()).collect();
        let further = Class { vid: Vid::Tagged(VlanId::new(1).unwrap()), ..class(1) };
        assert_eq!(classes.enter(further), None);
        assert_eq!(classes.enter(class(7)), Some(all[7]));
        classes.leave(all[7]);
        classes.leave(all[7]);
        assert_eq!(classes.enter(further), Some(all[7]));
        assert_eq!(*classes.of(all[7]), further);
        assert_eq!(classes.enter(class(7)), None);
    }
}
