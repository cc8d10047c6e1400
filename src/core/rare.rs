//! What few instances have.

/// A value that stands at its default for most instances: nothing but eight bytes is kept for it then.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rare<T>(Option<Box<T>>);

impl<T: Default + PartialEq> Rare<T> {
    /// Nothing where it stands at its default.
    pub fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    pub fn value(&self) -> T
    where
        T: Copy,
    {
        self.get().copied().unwrap_or_default()
    }

    pub fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        if let Some(value) = &mut self.0 {
            let result = change(value);
            if **value == T::default() {
                self.0 = None;
            }
            return result;
        }
        let mut value = T::default();
        let result = change(&mut value);
        *self = value.into();
        result
    }
}

impl<T: Default + PartialEq> From<T> for Rare<T> {
    fn from(value: T) -> Rare<T> {
        Rare((value != T::default()).then(|| Box::new(value)))
    }
}

impl<'a, T> IntoIterator for &'a Rare<T>
where
    &'a T: IntoIterator,
{
    type Item = <&'a T as IntoIterator>::Item;
    type IntoIter = std::iter::Flatten<std::option::IntoIter<&'a T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.as_deref().into_iter().flatten()
    }
}
