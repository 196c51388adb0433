//! Random statements: whatever is pushed down into scans, the rows are those of DataFusion alone.

use dayfold_sql::Limits;

use crate::scene::{Scene, ask_oracle};

/// The number of statements.
const STATEMENTS: u64 = 400;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn day(&mut self) -> String {
        format!("DATE '2024-{:02}-{:02}'", 2 + self.below(3), 1 + self.below(29))
    }

    fn period(&mut self, table: &Table) -> String {
        match table.period {
            "hour" => {
                let minute = self.one_of(&["00", "00", "30"]);
                let day = 1 + self.below(20);
                format!("TIMESTAMP '2024-03-{day:02}T{:02}:{minute}:00Z'", self.below(24))
            }
            _ => self.day(),
        }
    }

    fn shop(&mut self) -> &'static str {
        self.one_of(&["'Oslo'", "'Os'", "''", "'Rome'", "'Paris'", "'x%_y'", "'Ōsaka'"])
    }

    fn desk(&mut self) -> &'static str {
        self.one_of(&["0", "60", "120", "180", "240", "300", "-1", "61"])
    }

    fn condition(&mut self, table: &Table) -> String {
        let compared = self.one_of(&["=", "<", "<=", ">", ">=", "<>"]);
        match self.below(if table.has_desk { 9 } else { 6 }) {
            0 => format!("{} {compared} {}", table.period, self.period(table)),
            1 => {
                let (one, other) = (self.period(table), self.period(table));
                format!("{} BETWEEN {one} AND {other}", table.period)
            }
            2 => format!("{} IN ({}, {})", table.period, self.period(table), self.period(table)),
            3 if table.has_shop => format!("shop {compared} {}", self.shop()),
            4 if table.has_shop => {
                let (one, other) = (self.shop(), self.shop());
                self.one_of(&[
                    "shop IN (A, B)",
                    "(shop = A OR shop = B)",
                    "shop LIKE 'O%'",
                    "shop LIKE 'Os%'",
                    "shop LIKE 'x\\%%'",
                    "shop IS NULL",
                ])
                .replace('A', one)
                .replace('B', other)
            }
            6 | 7 => format!("desk {compared} {}", self.desk()),
            8 => format!("desk IN ({}, {}, {})", self.desk(), self.desk(), self.desk()),
            _ => format!("cents {compared} {}", self.below(400)),
        }
    }

    fn conditions(&mut self, table: &Table) -> String {
        let conditions: Vec<_> = (0..self.below(4)).map(|_| self.condition(table)).collect();
        match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        }
    }

    /// A random selection of them, in their order.
    fn some<'a>(&mut self, all: &[&'a str]) -> Vec<&'a str> {
        all.iter().copied().filter(|_| self.below(2) == 0).collect()
    }
}

struct Table {
    name: &'static str,
    period: &'static str,
    has_shop: bool,
    has_desk: bool,
}

impl Table {
    fn key(&self) -> Vec<&'static str> {
        let columns = [(self.has_shop, "shop"), (self.has_desk, "desk")];
        columns.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
    }
}

const TABLES: [Table; 3] = [
    Table { name: "sales", period: "day", has_shop: true, has_desk: true },
    Table { name: "hours", period: "hour", has_shop: true, has_desk: false },
    Table { name: "weeks", period: "week", has_shop: false, has_desk: false },
];

/// A statement, and whether only its last column can be compared, in order.
fn statement(random: &mut Random) -> (String, bool) {
    let table = &TABLES[[0, 0, 0, 1, 1, 2][random.below(6)]];
    let (from, conditions) = (table.name, random.conditions(table));
    let key = table.key();
    let all = [&[table.period], &key[..]].concat();
    match random.below(6) {
        0 => (format!("SELECT {}, sales, cents FROM {from}{conditions}", all.join(", ")), false),
        1 => (format!("SELECT count(*) FROM {from}{conditions}"), false),
        2 => {
            let order = all.join(", ");
            let limit = 1 + random.below(20);
            (
                format!(
                    "SELECT cents, {order} FROM {from}{conditions} ORDER BY {order} LIMIT {limit}"
                ),
                false,
            )
        }
        3 if !key.is_empty() => {
            let key = key.join(", ");
            let (measure, limit) = (random.one_of(&["sales", "cents"]), 1 + random.below(8));
            let direction = random.one_of(&["DESC", "DESC", "ASC"]);
            let text = format!(
                "SELECT {key}, sum({measure}) AS c FROM {from}{conditions} GROUP BY {key} ORDER BY c {direction} LIMIT {limit}"
            );
            (text, true)
        }
        4 => {
            let columns = random.some(&all).join(", ");
            let columns = if columns.is_empty() { table.period.to_owned() } else { columns };
            (format!("SELECT DISTINCT {columns} FROM {from}{conditions}"), false)
        }
        _ => {
            let (groups, sums) = (
                random.some(&all),
                random.some(&["sum(sales)", "sum(cents)", "count(*)", "max(cents)"]),
            );
            let sums = if sums.is_empty() { vec!["sum(cents)"] } else { sums };
            let columns = [&groups[..], &sums[..]].concat().join(", ");
            let groups = match groups.is_empty() {
                true => String::new(),
                false => format!(" GROUP BY {}", groups.join(", ")),
            };
            (format!("SELECT {columns} FROM {from}{conditions}{groups}"), false)
        }
    }
}

#[tokio::test]
async fn differential_random_statements() {
    let scene = Scene::new(2, Limits::default());
    let oracle = scene.oracle();
    let mut with_rows = 0;
    for seed in 0..STATEMENTS {
        let (text, has_ties) = statement(&mut Random(seed));
        let (mut found, mut expected) = (scene.ask(&text).await, ask_oracle(&oracle, &text).await);
        with_rows += u64::from(!expected.is_empty());
        if has_ties {
            // If several keys have the same value, the statement does not determine which of them come last.
            for rows in [&mut found, &mut expected] {
                rows.iter_mut().for_each(|row| drop(row.drain(..row.len() - 1)));
            }
        }
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "seed {seed}: {text}");
    }
    assert!(with_rows > STATEMENTS / 2, "only {with_rows} statements have rows");
    scene.running.finish().unwrap();
}
