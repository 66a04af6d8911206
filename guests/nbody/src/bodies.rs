//! The Sun and the four giant planets, moved by a symplectic (kick, then drift) integrator.
//!
//! Distances in astronomical units, masses in solar masses times the gravitational constant, times
//! in days divided by the length of the year; orbital values of the planets are rounded from
//! public ephemerides, which is enough for a kernel.

const BODIES: usize = 5;
/// The gravitational parameter of the Sun in these units: 4 pi squared.
const SOLAR_MASS: f64 = 39.478_417_604_357_43;

#[derive(Clone, Copy)]
struct Body {
    position: [f64; 3],
    velocity: [f64; 3],
    mass: f64,
}

/// Bodies that attract one another.
pub struct System {
    bodies: [Body; BODIES],
}

/// A planet on a circular, slightly inclined orbit of `radius` at `angle` (cosine, sine).
fn planet(radius: f64, (cosine, sine): (f64, f64), tilt: f64, mass_ratio: f64) -> Body {
    let speed = (SOLAR_MASS / radius).sqrt();
    Body {
        position: [radius * cosine, radius * sine, radius * tilt],
        velocity: [-speed * sine, speed * cosine, 0.0],
        mass: SOLAR_MASS * mass_ratio,
    }
}

impl System {
    /// Jupiter, Saturn, Uranus and Neptune around a Sun that moves against them.
    pub fn sun_and_giants() -> System {
        let sun = Body {
            position: [0.0; 3],
            velocity: [0.0; 3],
            mass: SOLAR_MASS,
        };
        let mut bodies = [
            sun,
            planet(5.203, (0.8, 0.6), 0.0228, 9.5479e-4),
            planet(9.537, (-0.6, 0.8), 0.0434, 2.8588e-4),
            planet(19.191, (0.28, -0.96), 0.0135, 4.3662e-5),
            planet(30.069, (-0.96, -0.28), 0.0309, 5.1514e-5),
        ];
        let mut momentum = [0.0; 3];
        for body in &bodies {
            for (sum, velocity) in momentum.iter_mut().zip(body.velocity) {
                *sum += velocity * body.mass;
            }
        }
        bodies[0].velocity = momentum.map(|sum| -sum / SOLAR_MASS);
        System { bodies }
    }

    /// Moves everything by `step` years.
    pub fn advance(&mut self, step: f64) {
        for first in 0..BODIES {
            for second in first + 1..BODIES {
                self.attract(first, second, step);
            }
        }
        for body in &mut self.bodies {
            for (position, velocity) in body.position.iter_mut().zip(body.velocity) {
                *position += step * velocity;
            }
        }
    }

    fn attract(&mut self, first: usize, second: usize, step: f64) {
        let (offset, squared) = self.offset(first, second);
        let magnitude = step / (squared * squared.sqrt());
        let (first_mass, second_mass) = (self.bodies[first].mass, self.bodies[second].mass);
        for (axis, offset) in offset.into_iter().enumerate() {
            self.bodies[first].velocity[axis] -= offset * second_mass * magnitude;
            self.bodies[second].velocity[axis] += offset * first_mass * magnitude;
        }
    }

    /// The vector from `second` to `first` and its squared length.
    fn offset(&self, first: usize, second: usize) -> ([f64; 3], f64) {
        let (a, b) = (&self.bodies[first].position, &self.bodies[second].position);
        let offset = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
        (
            offset,
            offset[0] * offset[0] + offset[1] * offset[1] + offset[2] * offset[2],
        )
    }

    /// Kinetic and potential energy, which the integrator nearly keeps.
    pub fn energy(&self) -> f64 {
        let mut energy = 0.0;
        for (first, body) in self.bodies.iter().enumerate() {
            let [x, y, z] = body.velocity;
            energy += 0.5 * body.mass * (x * x + y * y + z * z);
            for second in first + 1..BODIES {
                let distance = self.offset(first, second).1.sqrt();
                energy -= body.mass * self.bodies[second].mass / distance;
            }
        }
        energy
    }
}

#[cfg(test)]
mod tests {
    use super::System;

    #[test]
    fn energy_is_nearly_kept_over_a_century() {
        let mut system = System::sun_and_giants();
        let before = system.energy();
        (0..10_000).for_each(|_| system.advance(0.01));
        let drift = ((system.energy() - before) / before).abs();
        assert!(before < 0.0 && drift < 1e-4, "drift {drift}");
    }
}
