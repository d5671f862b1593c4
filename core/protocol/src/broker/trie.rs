//! Topic filters with wildcards as a tree of levels, in one arena with one table of edges.

use super::arena::{Arena, NONE};
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

const ROOT: u32 = 0;

/// Filters with wildcards, each with a number of the caller's.
///
/// All edges live in one table keyed by parent and level, so a node costs 40 bytes, its level's
/// text and an edge, and no table of its own. A topic costs one lookup for each node on its ways
/// through the tree. Nodes that lead to no filter are taken out at once.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    nodes: Arena<Node>,
    edges: HashTable<Edge>,
    hasher: SeedableRandomState,
}

/// Where a filter ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    node: u32,
    /// Behind the node comes `#`.
    multi: bool,
}

/// Places still to visit while matching, kept by the caller for its memory.
pub(super) type Walk = Vec<(u32, u32)>;

#[derive(Clone, Debug)]
struct Node {
    /// The level that leads here; empty for the root and for `+`.
    level: Box<str>,
    parent: u32,
    /// Children by name, without `plus`.
    children: u32,
    /// The child for `+`.
    plus: u32,
    /// The filter that ends here.
    exact: u32,
    /// The filter that ends here with `#` behind.
    multi: u32,
}

/// The way to a child. The hash is kept so that growing the table does not visit the nodes.
#[derive(Clone, Copy, Debug)]
struct Edge {
    hash: u32,
    child: u32,
}

impl Trie {
    pub(super) fn new(seed: u64) -> Self {
        let mut nodes = Arena::new();
        nodes.insert(Node::new("", NONE));
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        Self {
            nodes,
            edges: HashTable::new(),
            hasher,
        }
    }

    /// Pushes the number of each filter that matches `topic` to `found`, in no order, each once. Returns
    /// how many nodes it looked at.
    pub(super) fn matching(&self, topic: &str, walk: &mut Walk, mut found: impl FnMut(u32)) -> u64 {
        // Leading wildcards do not match a name with `$` in front [MQTT-4.7.2-1].
        let reserved = topic.starts_with('$');
        let mut steps = 0;
        walk.clear();
        walk.push((ROOT, 0));
        while let Some((at, offset)) = walk.pop() {
            steps += 1;
            let node = &self.nodes[at];
            let wildcards = !(reserved && at == ROOT);
            if node.multi != NONE && wildcards {
                found(node.multi);
            }
            let Some(rest) = topic.get(offset as usize..) else {
                // Behind the last level.
                if node.exact != NONE {
                    found(node.exact);
                }
                continue;
            };
            let length = rest
                .bytes()
                .position(|byte| byte == b'/')
                .unwrap_or(rest.len());
            let next = offset + length as u32 + 1;
            if node.plus != NONE && wildcards {
                walk.push((node.plus, next));
            }
            if node.children > 0
                && let Some(child) = self.child(at, &rest[..length])
            {
                walk.push((child, next));
            }
        }
        steps
    }

    /// The end of `filter`, if its way is in the tree, and the number there or [`NONE`].
    pub(super) fn find(&self, filter: &str) -> Option<u32> {
        let mut at = ROOT;
        for level in filter.split('/') {
            at = match level {
                "#" => return Some(self.nodes[at].multi).filter(|number| *number != NONE),
                "+" => Some(self.nodes[at].plus).filter(|child| *child != NONE)?,
                level => self.child(at, level)?,
            };
        }
        Some(self.nodes[at].exact).filter(|number| *number != NONE)
    }

    /// Enters a filter that is not in the tree under `number`.
    pub(super) fn insert(&mut self, filter: &str, number: u32) -> End {
        let mut at = ROOT;
        for level in filter.split('/') {
            at = match level {
                "#" => {
                    self.nodes[at].multi = number;
                    return End {
                        node: at,
                        multi: true,
                    };
                }
                "+" => self.plus_or_new(at),
                level => self.child_or_new(at, level),
            };
        }
        self.nodes[at].exact = number;
        End {
            node: at,
            multi: false,
        }
    }

    /// Takes the filter that ends at `end` out, and each node that led to nothing else.
    pub(super) fn remove(&mut self, end: End) {
        let node = &mut self.nodes[end.node];
        if end.multi {
            node.multi = NONE;
        } else {
            node.exact = NONE;
        }
        let mut at = end.node;
        while at != ROOT && self.nodes[at].is_bare() {
            at = self.detach(at);
        }
    }

    /// Nodes, without the root.
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - 1
    }

    /// True without any filter.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && self.nodes[ROOT].is_bare()
    }

    fn child(&self, parent: u32, level: &str) -> Option<u32> {
        let hash = self.hash(parent, level);
        let same = |edge: &Edge| {
            edge.hash == hash && {
                let node = &self.nodes[edge.child];
                node.parent == parent && *node.level == *level
            }
        };
        self.edges.find(wide(hash), same).map(|edge| edge.child)
    }

    fn child_or_new(&mut self, parent: u32, level: &str) -> u32 {
        if let Some(child) = self.child(parent, level) {
            return child;
        }
        let child = self.nodes.insert(Node::new(level, parent));
        let hash = self.hash(parent, level);
        self.edges
            .insert_unique(wide(hash), Edge { hash, child }, |edge| wide(edge.hash));
        self.nodes[parent].children += 1;
        child
    }

    fn plus_or_new(&mut self, parent: u32) -> u32 {
        if self.nodes[parent].plus == NONE {
            let child = self.nodes.insert(Node::new("", parent));
            self.nodes[parent].plus = child;
        }
        self.nodes[parent].plus
    }

    /// Takes a bare node out and gives its parent.
    fn detach(&mut self, at: u32) -> u32 {
        let parent = self.nodes[at].parent;
        if self.nodes[parent].plus == at {
            self.nodes[parent].plus = NONE;
        } else {
            let hash = self.hash(parent, &self.nodes[at].level);
            if let Ok(edge) = self.edges.find_entry(wide(hash), |edge| edge.child == at) {
                edge.remove();
            }
            self.nodes[parent].children -= 1;
        }
        self.nodes.remove(at);
        parent
    }

    fn hash(&self, parent: u32, level: &str) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(parent);
        hasher.write(level.as_bytes());
        (hasher.finish() >> 32) as u32
    }
}

impl Node {
    fn new(level: &str, parent: u32) -> Self {
        Self {
            level: level.into(),
            parent,
            children: 0,
            plus: NONE,
            exact: NONE,
            multi: NONE,
        }
    }

    fn is_bare(&self) -> bool {
        self.children == 0 && [self.plus, self.exact, self.multi] == [NONE; 3]
    }
}

/// The kept half of a hash as a whole one: hashbrown picks the bucket by the low bits and tags it
/// with the high ones.
pub(super) const fn wide(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_nodes_are_taken_out() {
        let mut trie = Trie::new(1);
        let a = trie.insert("a/+/c/#", 1);
        let b = trie.insert("a/+/c", 2);
        let c = trie.insert("+/+/#", 3);
        assert_eq!(trie.len(), 5);
        trie.remove(a);
        assert_eq!(
            (trie.len(), trie.find("a/+/c"), trie.find("a/+/c/#")),
            (5, Some(2), None)
        );
        trie.remove(b);
        assert_eq!(
            (trie.len(), trie.find("+/+/#"), trie.find("+/+")),
            (2, Some(3), None)
        );
        trie.remove(c);
        assert_eq!((trie.len(), trie.edges.len()), (0, 0));
    }

    #[test]
    fn a_level_that_looks_like_the_root_or_plus_is_another_node() {
        let mut trie = Trie::new(1);
        trie.insert("/+", 1);
        trie.insert("+/+", 2);
        trie.insert("#", 3);
        let mut found = Vec::new();
        trie.matching("/x", &mut Vec::new(), |number| found.push(number));
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3]);
        trie.matching("", &mut Vec::new(), |number| assert_eq!(number, 3));
    }

    #[test]
    fn depth_is_no_recursion() {
        let mut trie = Trie::new(1);
        let filter = format!("{}#", "+/".repeat(32_000));
        let end = trie.insert(&filter, 1);
        let mut found = 0;
        trie.matching(&"/".repeat(60_000), &mut Vec::new(), |_| found += 1);
        assert_eq!(found, 1);
        trie.remove(end);
        assert_eq!(trie.len(), 0);
    }
}
