//! Lists that are short almost always. Pure.

use std::fmt;
use std::ops::{Deref, DerefMut};

use smallvec::SmallVec;

/// A list that holds `N` elements in itself: only a longer one lies on the heap. A slice in all else,
/// and made of a `Vec` or an array.
///
/// ```
/// use umlaut_openflow::{Action, Actions, PortNo};
/// let actions = Actions::from([Action::PopVlan, Action::output(PortNo(2))]);
/// assert_eq!(actions, vec![Action::PopVlan, Action::output(PortNo(2))]);
/// assert_eq!(actions.len(), 2);
/// ```
#[derive(Clone, Hash)]
pub struct Few<T, const N: usize>(SmallVec<[T; N]>);

impl<T, const N: usize> Few<T, N> {
    /// An empty list.
    #[inline]
    pub const fn new() -> Few<T, N> {
        Few(SmallVec::new_const())
    }

    /// Adds an element behind the others.
    #[inline]
    pub fn push(&mut self, element: T) {
        self.0.push(element);
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The elements.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<T, const N: usize> Default for Few<T, N> {
    fn default() -> Few<T, N> {
        Few::new()
    }
}

impl<T, const N: usize> Deref for Few<T, N> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const N: usize> DerefMut for Few<T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, const N: usize> AsRef<[T]> for Few<T, N> {
    fn as_ref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const N: usize> From<Vec<T>> for Few<T, N> {
    /// A list of at most `N` elements leaves its place on the heap.
    #[inline]
    fn from(list: Vec<T>) -> Few<T, N> {
        match list.len() <= N {
            true => list.into_iter().collect(),
            false => Few(SmallVec::from_vec(list)),
        }
    }
}

impl<T, const N: usize, const M: usize> From<[T; M]> for Few<T, N> {
    #[inline]
    fn from(list: [T; M]) -> Few<T, N> {
        let mut few = Few::new();
        list.into_iter().for_each(|element| few.push(element));
        few
    }
}

impl<T: Clone, const N: usize> From<&[T]> for Few<T, N> {
    fn from(list: &[T]) -> Few<T, N> {
        list.iter().cloned().collect()
    }
}

impl<T, const N: usize> From<Few<T, N>> for Vec<T> {
    fn from(few: Few<T, N>) -> Vec<T> {
        few.0.into_vec()
    }
}

impl<T, const N: usize> FromIterator<T> for Few<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Few<T, N> {
        Few(elements.into_iter().collect())
    }
}

impl<T, const N: usize> Extend<T> for Few<T, N> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        self.0.extend(elements);
    }
}

impl<T, const N: usize> IntoIterator for Few<T, N> {
    type Item = T;
    type IntoIter = smallvec::IntoIter<[T; N]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a Few<T, N> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a mut Few<T, N> {
    type Item = &'a mut T;
    type IntoIter = std::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

impl<T: PartialEq, const N: usize, L: AsRef<[T]> + ?Sized> PartialEq<L> for Few<T, N> {
    fn eq(&self, other: &L) -> bool {
        self.as_slice() == other.as_ref()
    }
}

impl<T: Eq, const N: usize> Eq for Few<T, N> {}

impl<T: PartialEq, const N: usize> PartialEq<Few<T, N>> for Vec<T> {
    fn eq(&self, other: &Few<T, N>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for Few<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

#[cfg(feature = "serde")]
impl<T: serde::Serialize, const N: usize> serde::Serialize for Few<T, N> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.as_slice())
    }
}
