//! Small integer matrices: by a constant, by a vector, by a matrix, and by bit fields.

use crate::crc::Crc16;

const SIDE: usize = 12;
type Wide = [[i32; SIDE]; SIDE];
type Narrow = [[i16; SIDE]; SIDE];

/// Two factors and the place of their product.
pub struct Matrices {
    left: Narrow,
    right: Narrow,
    product: Wide,
}

impl Matrices {
    /// Factors filled from `seed`.
    pub fn new(seed: u16) -> Matrices {
        let mut left = [[0; SIDE]; SIDE];
        let mut right = [[0; SIDE]; SIDE];
        let mut value = u32::from(seed) | 1;
        for (left, right) in left.iter_mut().flatten().zip(right.iter_mut().flatten()) {
            value = value.wrapping_mul(48_271) % 65_521;
            *left = (value & 0xFF) as i16;
            *right = (value >> 8) as i16;
        }
        Matrices {
            left,
            right,
            product: [[0; SIDE]; SIDE],
        }
    }

    /// One round of every operation; leaves the factors as they were.
    pub fn exercise(&mut self, seed: u16) -> u16 {
        let constant = (seed | 0xF000) as i16;
        let mut crc = Crc16::default();
        self.add_constant(constant);
        self.scale(constant);
        crc.add(self.sum_where_rising());
        self.multiply_vector();
        crc.add(self.sum_where_rising());
        self.multiply(|left, right| left * right);
        crc.add(self.sum_where_rising());
        self.multiply(|left, right| {
            let both = left.wrapping_mul(right);
            ((both >> 2) & 0xF) * ((both >> 5) & 0x7F)
        });
        crc.add(self.sum_where_rising());
        self.add_constant(constant.wrapping_neg());
        crc.value()
    }

    fn add_constant(&mut self, constant: i16) {
        for cell in self.left.iter_mut().flatten() {
            *cell = cell.wrapping_add(constant);
        }
    }

    fn scale(&mut self, constant: i16) {
        for (to, from) in self
            .product
            .iter_mut()
            .flatten()
            .zip(self.left.iter().flatten())
        {
            *to = i32::from(*from) * i32::from(constant);
        }
    }

    fn multiply_vector(&mut self) {
        for row in 0..SIDE {
            let cells = self.left[row].iter().zip(&self.right[0]);
            self.product[row][0] = cells
                .map(|(a, b)| i32::from(*a).wrapping_mul(i32::from(*b)))
                .sum();
        }
    }

    fn multiply(&mut self, term: impl Fn(i32, i32) -> i32) {
        for row in 0..SIDE {
            for column in 0..SIDE {
                let mut sum = 0i32;
                for inner in 0..SIDE {
                    let left = i32::from(self.left[row][inner]);
                    let right = i32::from(self.right[inner][column]);
                    sum = sum.wrapping_add(term(left, right));
                }
                self.product[row][column] = sum;
            }
        }
    }

    /// A sum with a branch that the data decides.
    fn sum_where_rising(&self) -> u16 {
        let mut sum = 0u16;
        let mut previous = 0;
        for &cell in self.product.iter().flatten() {
            sum = sum.wrapping_add(if cell > previous {
                10
            } else {
                (cell & 0xFF) as u16
            });
            previous = cell;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_with_the_identity_is_the_factor() {
        let mut matrices = Matrices::new(5);
        for row in 0..SIDE {
            for column in 0..SIDE {
                matrices.right[row][column] = i16::from(row == column);
            }
        }
        matrices.multiply(|left, right| left * right);
        for (product, left) in matrices
            .product
            .iter()
            .flatten()
            .zip(matrices.left.iter().flatten())
        {
            assert_eq!(*product, i32::from(*left));
        }
    }

    #[test]
    fn a_round_leaves_the_factors_as_they_were() {
        let mut matrices = Matrices::new(5);
        let before = (matrices.left, matrices.right);
        matrices.exercise(77);
        assert_eq!((matrices.left, matrices.right), before);
    }
}
