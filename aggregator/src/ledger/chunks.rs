//! An array that grows without ever moving: in chunks, each made when something in it is first stored.

/// The array, in chunks of `CHUNK` values. What was never stored reads as the default.
#[derive(Debug)]
pub struct Chunks<T, const CHUNK: usize> {
    chunks: Vec<Option<Box<[T; CHUNK]>>>,
}

impl<T, const CHUNK: usize> Default for Chunks<T, CHUNK> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T: Copy + Default, const CHUNK: usize> Chunks<T, CHUNK> {
    /// The value, if its chunk is there.
    #[inline(always)]
    pub fn there(&self, at: u32) -> Option<&T> {
        match self.chunks.get(at as usize / CHUNK) {
            Some(Some(chunk)) => Some(&chunk[at as usize % CHUNK]),
            _ => None,
        }
    }

    /// The value, to be changed, if its chunk is there.
    #[inline(always)]
    pub fn there_mut(&mut self, at: u32) -> Option<&mut T> {
        match self.chunks.get_mut(at as usize / CHUNK) {
            Some(Some(chunk)) => Some(&mut chunk[at as usize % CHUNK]),
            _ => None,
        }
    }

    /// The value.
    #[inline(always)]
    pub fn get(&self, at: u32) -> T {
        self.there(at).copied().unwrap_or_default()
    }

    /// The value, to be changed; its chunk is made if need be.
    #[inline(always)]
    pub fn get_mut(&mut self, at: u32) -> &mut T {
        let number = at as usize / CHUNK;
        if !matches!(self.chunks.get(number), Some(Some(_))) {
            self.make(number);
        }
        match &mut self.chunks[number] {
            Some(chunk) => &mut chunk[at as usize % CHUNK],
            None => unreachable!("made above"),
        }
    }

    #[cold]
    #[inline(never)]
    fn make(&mut self, number: usize) {
        if self.chunks.len() <= number {
            self.chunks.resize_with(number + 1, || None);
        }
        let values: Box<[T]> = vec![T::default(); CHUNK].into_boxed_slice();
        self.chunks[number] = values.try_into().ok();
    }
}
