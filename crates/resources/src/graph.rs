//! The order of work on resources, decided before anything is done. Pure.
//!
//! Parents come before their children in prepare, children before their parents in complete. A resource may have several parents. Resources
//! are told apart by type and id.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use coffer_format::ResourceRef;

/// Most resources of one run; the format holds no more.
pub(crate) const RESOURCES_MAX: usize = coffer_format::document::RESOURCES_MAX;

/// Resources cannot be put in an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Some are below themselves.
    #[error("resources depend on each other in a circle: {}", shown(.0))]
    Cycle(Vec<ResourceRef>),
    /// Too many.
    #[error("{0} resources are too many, a point holds {RESOURCES_MAX}")]
    TooMany(usize),
    /// An edge to a resource that is not among them.
    #[error("{parent} is named as parent of {child}, and is none of the resources")]
    Unknown {
        /// The parent.
        parent: ResourceRef,
        /// The child.
        child: ResourceRef,
    },
}

fn shown(references: &[ResourceRef]) -> String {
    references.iter().map(ToString::to_string).collect::<Vec<_>>().join(" -> ")
}

/// Resources with their parents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    parents: BTreeMap<ResourceRef, BTreeSet<ResourceRef>>,
}

impl Graph {
    /// Adds a resource; once more is the same.
    pub fn add(&mut self, resource: ResourceRef) {
        self.parents.entry(resource).or_default();
    }

    /// Says that `child` is below `parent`, and adds both.
    pub fn add_below(&mut self, parent: ResourceRef, child: ResourceRef) {
        self.add(parent.clone());
        self.parents.entry(child).or_default().insert(parent);
    }

    /// How many resources there are.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// Parents before children; among those that may come in any order the smaller name comes first, so that the same resources always come in
    /// the same order.
    ///
    /// # Errors
    /// Where resources are below themselves, or there are too many.
    pub fn parents_first(&self) -> Result<Vec<ResourceRef>, GraphError> {
        if self.len() > RESOURCES_MAX {
            return Err(GraphError::TooMany(self.len()));
        }
        let mut waiting: BTreeMap<&ResourceRef, usize> = BTreeMap::new();
        let mut children: BTreeMap<&ResourceRef, Vec<&ResourceRef>> = BTreeMap::new();
        for (child, parents) in &self.parents {
            waiting.insert(child, parents.len());
            for parent in parents {
                if !self.parents.contains_key(parent) {
                    return Err(GraphError::Unknown { parent: parent.clone(), child: child.clone() });
                }
                children.entry(parent).or_default().push(child);
            }
        }
        let mut ready: VecDeque<&ResourceRef> =
            waiting.iter().filter(|(_, count)| **count == 0).map(|(resource, _)| *resource).collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(resource) = ready.pop_front() {
            order.push(resource.clone());
            for &child in children.get(resource).into_iter().flatten() {
                let count = waiting.get_mut(child).expect("every child is a resource");
                *count -= 1;
                if *count == 0 {
                    ready.push_back(child);
                }
            }
        }
        if order.len() == self.len() { Ok(order) } else { Err(GraphError::Cycle(self.cycle(&waiting))) }
    }

    /// The parents of a resource.
    pub fn parents_of(&self, resource: &ResourceRef) -> impl Iterator<Item = &ResourceRef> {
        self.parents.get(resource).into_iter().flatten()
    }

    /// One circle, each followed by a parent of it, among those that still wait for parents.
    fn cycle(&self, waiting: &BTreeMap<&ResourceRef, usize>) -> Vec<ResourceRef> {
        let is_waiting = |resource: &&ResourceRef| waiting.get(*resource).is_some_and(|count| *count > 0);
        let mut path: Vec<&ResourceRef> = Vec::new();
        let mut seen = BTreeMap::new();
        let mut next = waiting.keys().copied().find(is_waiting);
        while let Some(resource) = next {
            if let Some(start) = seen.insert(resource, path.len()) {
                path.push(resource);
                return path.drain(start..).cloned().collect();
            }
            path.push(resource);
            next = self.parents_of(resource).find(is_waiting);
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ResourceRef {
        text.parse().expect("a reference")
    }

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        edges.iter().for_each(|(parent, child)| graph.add_below(name(parent), name(child)));
        graph
    }

    fn check(graph: &Graph) {
        let order = graph.parents_first().expect("an order");
        assert_eq!(order.len(), graph.len());
        let place: BTreeMap<_, _> = order.iter().enumerate().map(|(place, name)| (name, place)).collect();
        assert_eq!(place.len(), graph.len(), "a resource stands twice");
        for resource in &order {
            for parent in graph.parents_of(resource) {
                assert!(place[parent] < place[resource], "{resource} stands before its parent {parent}");
            }
        }
    }

    #[test]
    fn a_diamond_has_each_of_its_resources_once() {
        let graph = graph(&[("P/1", "I/a"), ("P/1", "I/b"), ("I/a", "V/x"), ("I/b", "V/x")]);
        check(&graph);
        let order: Vec<String> =
            graph.parents_first().expect("an order").iter().map(ToString::to_string).collect();
        assert_eq!(order, ["P/1", "I/a", "I/b", "V/x"]);
    }

    #[test]
    fn one_id_in_two_types_is_two_resources() {
        let graph = graph(&[("P/1", "I/1"), ("I/1", "V/1")]);
        assert_eq!(graph.len(), 3);
        check(&graph);
    }

    #[test]
    fn circles_are_named() {
        let check = |edges: &[(&str, &str)], length: usize| {
            let Err(GraphError::Cycle(circle)) = graph(edges).parents_first() else {
                panic!("no circle: {edges:?}")
            };
            assert_eq!(circle.len(), length + 1, "{circle:?}");
            assert_eq!(circle.first(), circle.last());
        };
        check(&[("A/1", "A/1")], 1);
        check(&[("A/1", "A/2"), ("A/2", "A/1")], 2);
        check(&[("R/0", "A/1"), ("A/1", "A/2"), ("A/2", "A/3"), ("A/3", "A/1"), ("A/3", "L/9")], 3);
    }

    #[test]
    fn ten_thousand_resources_have_an_order() {
        let mut chain = Graph::default();
        let mut star = Graph::default();
        for number in 0..10_000 {
            chain.add_below(name(&format!("C/{number}")), name(&format!("C/{}", number + 1)));
            star.add_below(name("S/root"), name(&format!("S/{number}")));
        }
        check(&chain);
        check(&star);
    }

    #[test]
    fn more_than_a_point_holds_are_refused() {
        let mut graph = Graph::default();
        (0..=RESOURCES_MAX).for_each(|number| graph.add(name(&format!("T/{number}"))));
        assert_eq!(graph.parents_first(), Err(GraphError::TooMany(RESOURCES_MAX + 1)));
    }

    proptest! {
        #[test]
        fn any_graph_has_an_order_or_a_circle(edges in prop::collection::vec((0_u8..40, 0_u8..40), 0..120)) {
            let mut graph = Graph::default();
            for (parent, child) in edges {
                graph.add_below(name(&format!("T/{parent}")), name(&format!("T/{child}")));
            }
            match graph.parents_first() {
                Ok(_) => check(&graph),
                Err(GraphError::Cycle(circle)) => {
                    prop_assert!(circle.len() > 1 && circle.first() == circle.last());
                    for pair in circle.windows(2) {
                        prop_assert!(graph.parents_of(&pair[0]).any(|parent| *parent == pair[1]));
                    }
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        #[test]
        fn edges_downwards_always_have_an_order(edges in prop::collection::vec((0_u16..200, 1_u16..200), 0..600)) {
            let mut graph = Graph::default();
            for (parent, step) in edges {
                graph.add_below(name(&format!("T/{parent}")), name(&format!("T/{}", parent + step)));
            }
            check(&graph);
        }
    }
}
