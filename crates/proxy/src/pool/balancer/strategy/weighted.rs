//! `weighted`: each as often as its weight says, evenly mixed (smooth weighted round robin, as nginx
//! has it). Those of equal weight form a class that counts as much as all of them together, so a
//! choice costs by the number of different weights.

use super::{
    choose::{Choose, Field, Wish},
    round_robin::RoundRobin,
};

#[derive(Debug, Clone, Default)]
pub(super) struct Weighted {
    classes: Vec<Class>,
    /// Of each one its weight while it may be chosen; zero otherwise.
    weights: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Class {
    weight: u32,
    members: i64,
    current: i64,
    turn: RoundRobin,
}

impl Choose for Weighted {
    fn join(&mut self, index: u32, weight: u32) {
        let (place, weight) = (index as usize, weight.max(1));
        if self.weights.len() <= place {
            self.weights.resize(place + 1, 0);
        }
        if self.weights[place] != 0 {
            return;
        }
        self.weights[place] = weight;
        let found = self.classes.iter().position(|class| class.weight <= weight);
        let at = found.unwrap_or(self.classes.len());
        if self.classes.get(at).is_none_or(|class| class.weight != weight) {
            let turn = RoundRobin::default();
            self.classes.insert(at, Class { weight, members: 0, current: 0, turn });
        }
        self.classes[at].members += 1;
        self.classes[at].turn.join(index, weight);
    }

    fn leave(&mut self, index: u32) {
        let Some(weight) = self.weights.get_mut(index as usize) else { return };
        let weight = std::mem::take(weight);
        if let Some(class) = self.classes.iter_mut().find(|class| class.weight == weight) {
            class.members -= 1;
        }
    }

    fn next(&mut self, field: &dyn Field, wish: &Wish) -> Option<u32> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for at in 0..self.classes.len() {
            let class = &mut self.classes[at];
            let share = i64::from(class.weight) * class.members;
            if share <= 0 {
                continue;
            }
            total += share;
            class.current += share;
            if best.is_none_or(|best| self.classes[at].current > self.classes[best].current) {
                best = Some(at);
            }
        }
        let best = &mut self.classes[best?];
        best.current -= total;
        best.turn.next(field, wish)
    }

    fn fork(&self) -> Box<dyn Choose> {
        Box::new(self.clone())
    }
}
