//! An order-statistic B+tree of (score, member): a sorted set's order.
//!
//! Leaves hold up to 64 items; inner nodes hold, for each child, its least item and how many items are
//! under it, so the rank of an item and the item of a rank take one descent. Every bound of a range is
//! turned into a rank first, and every range is then a range of ranks.

use crate::value::blob::BlobPtr;
use crate::value::prefetch::prefetch_lines;

const LEAF_LEN_MAX: usize = 64;
const INNER_LEN_MAX: usize = 64;
/// How many cache lines of a node are asked for: a full leaf.
const PREFETCH_LINES: usize = 16;

/// A score and where its member is.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Never NaN.
    pub score: f64,
    /// The member.
    pub member: BlobPtr,
}

struct Child {
    least: Item,
    len: usize,
    node: Node,
}

enum Node {
    Leaf(Vec<Item>),
    Inner(Vec<Child>),
}

/// The tree. It is told the order of items by its callers: where a predicate changes from true to false.
pub struct Tree {
    root: Node,
    len: usize,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { root: Node::Leaf(Vec::new()), len: 0 }
    }
}

impl Node {
    fn least(&self) -> Item {
        match self {
            Node::Leaf(items) => items[0],
            Node::Inner(children) => children[0].least,
        }
    }

    fn width(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(children) => children.len(),
        }
    }

    /// The number of items.
    fn count(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(children) => children.iter().map(|child| child.len).sum(),
        }
    }

    fn into_child(self) -> Child {
        Child { least: self.least(), len: self.count(), node: self }
    }

    /// Inserts at a rank; returns the right half of a node that was split.
    fn insert(&mut self, rank: usize, item: Item) -> Option<Node> {
        match self {
            Node::Leaf(items) => {
                let mut right = None;
                if items.len() < LEAF_LEN_MAX {
                    if items.len() == items.capacity() {
                        // Steps that the allocator has classes for; a full leaf has no slack.
                        items.reserve_exact((items.len() / 2).max(4).min(LEAF_LEN_MAX - items.len()));
                    }
                    items.insert(rank, item);
                } else {
                    // Items that come in order leave full leaves behind.
                    let at = if rank == items.len() { rank } else { LEAF_LEN_MAX / 2 };
                    let mut upper = Vec::with_capacity(if at == rank { 8 } else { LEAF_LEN_MAX * 3 / 4 });
                    upper.extend(items.drain(at..));
                    if rank <= at && at != LEAF_LEN_MAX {
                        items.insert(rank, item);
                    } else {
                        upper.insert(rank - at, item);
                    }
                    right = Some(Node::Leaf(upper));
                }
                right
            }
            Node::Inner(children) => {
                let (mut index, mut rank) = (0, rank);
                // An item between two children goes to the end of the left one.
                while rank > children[index].len {
                    rank -= children[index].len;
                    index += 1;
                }
                let child = &mut children[index];
                let split = child.node.insert(rank, item);
                child.least = child.node.least();
                child.len += 1;
                let right = split?.into_child();
                child.len -= right.len;
                children.insert(index + 1, right);
                if children.len() <= INNER_LEN_MAX {
                    return None;
                }
                let at = if index + 2 == children.len() { INNER_LEN_MAX - 1 } else { INNER_LEN_MAX / 2 };
                let mut upper = Vec::with_capacity(INNER_LEN_MAX + 1);
                upper.extend(children.drain(at..));
                Some(Node::Inner(upper))
            }
        }
    }

    fn remove(&mut self, rank: usize) -> Item {
        match self {
            Node::Leaf(items) => items.remove(rank),
            Node::Inner(children) => {
                let (mut index, mut rank) = (0, rank);
                while rank >= children[index].len {
                    rank -= children[index].len;
                    index += 1;
                }
                let child = &mut children[index];
                let item = child.node.remove(rank);
                child.len -= 1;
                if child.node.width() == 0 {
                    children.remove(index);
                    return item;
                }
                child.least = child.node.least();
                if child.node.width() < LEAF_LEN_MAX / 4 {
                    merge(children, index);
                }
                item
            }
        }
    }
}

/// Joins a child that has become small with a neighbour where both fit into one.
fn merge(children: &mut Vec<Child>, index: usize) {
    let left = if index + 1 < children.len() { index } else { index.saturating_sub(1) };
    if left + 1 >= children.len()
        || children[left].node.width() + children[left + 1].node.width() > LEAF_LEN_MAX * 3 / 4
    {
        return;
    }
    let right = children.remove(left + 1);
    let child = &mut children[left];
    child.len += right.len;
    match (&mut child.node, right.node) {
        (Node::Leaf(items), Node::Leaf(more)) => items.extend(more),
        (Node::Inner(inner), Node::Inner(more)) => inner.extend(more),
        _ => unreachable!("all leaves are at one depth"),
    }
}

impl Tree {
    /// The number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many items `before` is true for: it must be so for the first ones and for no later one.
    pub fn count_while(&self, before: impl Fn(&Item) -> bool) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(items) => return rank + items.partition_point(&before),
                Node::Inner(children) => {
                    let after = children.partition_point(|child| before(&child.least));
                    let Some(index) = after.checked_sub(1) else { return rank };
                    rank += children[..index].iter().map(|child| child.len).sum::<usize>();
                    node = &children[index].node;
                }
            }
        }
    }

    /// Asks the processor for the node that so many levels down [`Self::count_while`] comes to; answers whether
    /// there is one below it.
    pub fn prefetch(&self, level: usize, before: impl Fn(&Item) -> bool) -> bool {
        let mut node = &self.root;
        for _ in 0..level {
            let Node::Inner(children) = node else { return false };
            let after = children.partition_point(|child| before(&child.least));
            node = &children[after.saturating_sub(1)].node;
        }
        match node {
            Node::Leaf(items) => prefetch_lines(&items[..], PREFETCH_LINES),
            Node::Inner(children) => prefetch_lines(&children[..], PREFETCH_LINES),
        }
        matches!(node, Node::Inner(_))
    }

    /// The item of a rank.
    #[cfg(test)]
    fn at(&self, mut rank: usize) -> Option<Item> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return items.get(rank).copied(),
                Node::Inner(children) => {
                    let child = children.iter().find(|child| {
                        let here = rank < child.len;
                        rank -= if here { 0 } else { child.len };
                        here
                    })?;
                    node = &child.node;
                }
            }
        }
    }

    /// Inserts an item at its rank.
    pub fn insert(&mut self, rank: usize, item: Item) {
        self.len += 1;
        if let Some(right) = self.root.insert(rank, item) {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            self.root = Node::Inner(vec![left.into_child(), right.into_child()]);
        }
    }

    /// Removes the item of a rank.
    ///
    /// # Panics
    /// When there is none.
    pub fn remove(&mut self, rank: usize) -> Item {
        let item = self.root.remove(rank);
        self.len -= 1;
        while let Node::Inner(children) = &mut self.root {
            match children.len() {
                0 => self.root = Node::Leaf(Vec::new()),
                1 => self.root = children.remove(0).node,
                _ => break,
            }
        }
        item
    }

    /// Shows `visit` the items of ranks `from..to`, backwards if `reverse`.
    pub fn visit(&self, from: usize, to: usize, reverse: bool, mut visit: impl FnMut(Item)) {
        visit_node(&self.root, from, to.min(self.len), reverse, &mut visit);
    }

    /// An estimate of the bytes that the tree takes.
    pub fn memory_bytes(&self) -> usize {
        fn node_bytes(node: &Node) -> usize {
            match node {
                Node::Leaf(items) => items.capacity() * size_of::<Item>(),
                Node::Inner(children) => {
                    let own = children.capacity() * size_of::<Child>();
                    let sampled: usize = children.iter().take(4).map(|child| node_bytes(&child.node)).sum();
                    own + sampled * children.len() / children.len().clamp(1, 4)
                }
            }
        }
        node_bytes(&self.root)
    }
}

fn visit_node(node: &Node, from: usize, to: usize, reverse: bool, visit: &mut impl FnMut(Item)) {
    match node {
        Node::Leaf(items) => {
            let items = &items[from.min(items.len())..to.min(items.len())];
            if reverse {
                items.iter().rev().for_each(|item| visit(*item));
            } else {
                items.iter().for_each(|item| visit(*item));
            }
        }
        Node::Inner(children) if reverse => {
            let mut end: usize = children.iter().map(|child| child.len).sum();
            for child in children.iter().rev() {
                let start = end - child.len;
                if start < to && end > from {
                    visit_node(&child.node, from.saturating_sub(start), to - start, true, visit);
                }
                if start <= from {
                    break;
                }
                end = start;
            }
        }
        Node::Inner(children) => {
            let mut start = 0;
            for child in children.iter() {
                let end = start + child.len;
                if start >= to {
                    break;
                }
                if end > from {
                    visit_node(&child.node, from.saturating_sub(start), to - start, false, visit);
                }
                start = end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::blob::Blob;
    use proptest::prelude::*;

    fn ranks(tree: &Tree, from: usize, to: usize, reverse: bool) -> Vec<f64> {
        let mut found = Vec::new();
        tree.visit(from, to, reverse, |item| found.push(item.score));
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]

        #[test]
        fn behaves_as_a_sorted_list(
            steps in proptest::collection::vec((0..5_u8, 0_u32..3000), 1..12_000),
            rising in any::<bool>(),
        ) {
            let member = Blob::new(b"m", None, None);
            let (mut tree, mut model): (Tree, Vec<f64>) = Default::default();
            for (step, (action, number)) in steps.iter().enumerate() {
                if *action > 0 || model.is_empty() {
                    let score = if rising { step as f64 } else { f64::from(*number) };
                    let rank = tree.count_while(|item| item.score < score);
                    prop_assert_eq!(rank, model.partition_point(|other| *other < score));
                    tree.insert(rank, Item { score, member: member.pointer() });
                    model.insert(rank, score);
                } else {
                    let rank = *number as usize % model.len();
                    // Mostly from one end, so that nodes run empty.
                    let rank = if rising { rank / 16 } else { rank };
                    prop_assert_eq!(tree.remove(rank).score, model.remove(rank));
                }
            }
            prop_assert_eq!(tree.len(), model.len());
            prop_assert_eq!(ranks(&tree, 0, model.len(), false), model.clone());
            let (from, to) = (model.len() / 3, model.len() * 2 / 3);
            prop_assert_eq!(ranks(&tree, from, to, false), model[from..to].to_vec());
            let mut backwards = model[from..to].to_vec();
            backwards.reverse();
            prop_assert_eq!(ranks(&tree, from, to, true), backwards);
            for rank in (0..model.len()).step_by(97) {
                prop_assert_eq!(tree.at(rank).map(|item| item.score), Some(model[rank]));
            }
            prop_assert!(tree.at(model.len()).is_none());
            while tree.len() > 0 {
                tree.remove(tree.len() / 2);
            }
            prop_assert!(ranks(&tree, 0, 1, false).is_empty());
        }
    }
}
