//! SQLite, its C sources unchanged: makes a database file, fills it in transactions, queries it
//! with joins, aggregates and an index, deletes, vacuums, checks and opens it again.
//!
//! Arguments: the database file (made anew) and the number of orders (4000). The output names no
//! time and no path, so that it is the same on every system; the time goes to standard error.

use std::error::Error;
use std::time::Instant;

use rusqlite::{Connection, params};

const CITIES: [&str; 6] = ["Graz", "Lund", "Porto", "Tartu", "Utrecht", "Zagreb"];
const CUSTOMERS: u64 = 200;
const ORDERS_PER_TRANSACTION: u64 = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: sqlite FILE [ORDERS]")?;
    let orders = arguments.next().map_or(Ok(4000), |text| text.parse())?;
    let began = Instant::now();

    if std::fs::exists(&path)? {
        std::fs::remove_file(&path)?;
    }
    let mut database = Connection::open(&path)?;
    println!("sqlite {}", rusqlite::version());
    make_tables(&database)?;
    fill(&mut database, orders)?;
    report(&database)?;
    update(&mut database)?;
    database.execute_batch("VACUUM")?;
    database.close().map_err(|(_, error)| error)?;

    // What a second opening finds is what reached the file.
    let database = Connection::open(&path)?;
    report(&database)?;
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    let pages: i64 = database.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    println!("integrity {verdict}, {pages} pages");
    println!("file of {} bytes", std::fs::metadata(&path)?.len());
    eprintln!(
        "sqlite: {orders} orders in {} ns",
        began.elapsed().as_nanos()
    );
    Ok(())
}

fn make_tables(database: &Connection) -> rusqlite::Result<()> {
    database.execute_batch(
        "PRAGMA journal_mode = DELETE;
         CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, city TEXT NOT NULL);
         CREATE TABLE purchase (
             id INTEGER PRIMARY KEY,
             customer INTEGER NOT NULL REFERENCES customer(id) ON DELETE CASCADE,
             cents INTEGER NOT NULL CHECK (cents > 0),
             weight REAL NOT NULL,
             note TEXT
         );
         CREATE INDEX purchase_of_customer ON purchase (customer, cents);",
    )
}

fn fill(database: &mut Connection, orders: u64) -> rusqlite::Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let transaction = database.transaction()?;
    for id in 1..=CUSTOMERS {
        let city = CITIES[(random.next() % CITIES.len() as u64) as usize];
        transaction.execute(
            "INSERT INTO customer VALUES (?1, ?2, ?3)",
            params![id as i64, format!("customer {id:04}"), city],
        )?;
    }
    transaction.commit()?;
    let mut done = 0;
    while done < orders {
        let transaction = database.transaction()?;
        {
            let mut insert = transaction.prepare(
                "INSERT INTO purchase (customer, cents, weight, note) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for _ in 0..ORDERS_PER_TRANSACTION.min(orders - done) {
                let customer = 1 + random.next() % CUSTOMERS;
                let cents = 100 + random.next() % 90_000;
                let weight = (random.next() % 1000) as f64 / 8.0;
                let note = (cents % 7 == 0).then(|| format!("note {:016x}", random.next()));
                insert.execute(params![customer as i64, cents as i64, weight, note])?;
                done += 1;
            }
        }
        transaction.commit()?;
    }
    Ok(())
}

/// Deletes, changes, and takes back one transaction.
fn update(database: &mut Connection) -> rusqlite::Result<()> {
    let gone = database.execute("DELETE FROM customer WHERE id % 9 = 0", [])?;
    let cheaper = database.execute(
        "UPDATE purchase SET cents = cents - 10 WHERE cents > 80000",
        [],
    )?;
    println!("{gone} customers deleted, {cheaper} purchases cheaper");
    let transaction = database.transaction()?;
    transaction.execute("DELETE FROM purchase", [])?;
    transaction.rollback()?;
    // The check of the table refuses it.
    if let Err(error) = database.execute("UPDATE purchase SET cents = 0 WHERE id = 1", []) {
        println!("refused: {error}");
    }
    Ok(())
}

fn report(database: &Connection) -> rusqlite::Result<()> {
    let mut by_city = database.prepare(
        "SELECT city, count(*), sum(cents), avg(weight), max(cents), count(note)
         FROM purchase JOIN customer ON customer.id = purchase.customer
         GROUP BY city ORDER BY sum(cents) DESC",
    )?;
    let mut rows = by_city.query([])?;
    while let Some(row) = rows.next()? {
        let (city, count): (String, i64) = (row.get(0)?, row.get(1)?);
        let (cents, weight): (i64, f64) = (row.get(2)?, row.get(3)?);
        let (highest, notes): (i64, i64) = (row.get(4)?, row.get(5)?);
        println!("{city:8} {count:5} {cents:10} {weight:8.3} {highest:6} {notes:4}");
    }
    let plan: String = database.query_row(
        "EXPLAIN QUERY PLAN SELECT max(cents) FROM purchase WHERE customer = 17",
        [],
        |row| row.get(3),
    )?;
    println!("plan: {plan}");
    let mut all = database.prepare(
        "SELECT purchase.id, name, cents, weight, coalesce(note, '')
         FROM purchase JOIN customer ON customer.id = customer ORDER BY purchase.id",
    )?;
    let mut checksum = Checksum::new();
    let mut rows = all.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        checksum.add(&row.get::<_, i64>(0)?.to_le_bytes());
        checksum.add(row.get_ref(1)?.as_str().unwrap_or_default().as_bytes());
        checksum.add(&row.get::<_, i64>(2)?.to_le_bytes());
        checksum.add(&row.get::<_, f64>(3)?.to_le_bytes());
        checksum.add(row.get_ref(4)?.as_str().unwrap_or_default().as_bytes());
        count += 1;
    }
    println!("{count} purchases, checksum {:016x}", checksum.0);
    Ok(())
}

/// Marsaglia's xorshift64 (Journal of Statistical Software 8/14, 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// FNV-1a (draft-eastlake-fnv).
struct Checksum(u64);

impl Checksum {
    fn new() -> Checksum {
        Checksum(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
