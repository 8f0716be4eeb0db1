//! A growing set of hit numbers, one bit each: a million hits take 125 kB.

/// Which numbers are in the set.
#[derive(Clone, Debug, Default)]
pub struct Bitmap {
    words: Vec<u64>,
    count: u64,
}

impl Bitmap {
    /// Puts a number in, and says whether it was new.
    pub fn insert(&mut self, n: u64) -> bool {
        let (word, bit) = ((n / 64) as usize, 1 << (n % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += u64::from(new);
        new
    }

    /// Whether a number is in.
    #[must_use]
    pub fn contains(&self, n: u64) -> bool {
        self.words.get((n / 64) as usize).is_some_and(|word| word >> (n % 64) & 1 == 1)
    }

    /// How many numbers are in.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Every number that is in, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at as u64 * 64 + bit)
        })
    }

    /// Puts in all that another set holds.
    pub fn extend(&mut self, other: &Self) {
        for n in other.iter() {
            self.insert(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_once_it_was_put_in() {
        let mut set = Bitmap::default();
        let numbers = [0, 63, 64, 1_000_003];
        assert!(numbers.iter().all(|n| set.insert(*n)));
        assert!(!set.insert(63), "the second time it is not new");
        assert_eq!(set.iter().collect::<Vec<_>>(), numbers);
        assert_eq!(set.count(), 4);
        assert!(!set.contains(1) && !set.contains(u64::MAX));
    }
}
