// What a script of a page or a server uses: closures, classes, generators, regular expressions,
// JSON, sorting, maps, exceptions, promises. Prints the same everywhere.

function counter() {
  let count = 0;
  return () => ++count;
}
const next = counter();
next();
next();
print("closure", next());

class Shape {
  #name;
  constructor(name) { this.#name = name; }
  area() { return 0; }
  toString() { return `${this.#name} of ${this.area().toFixed(3)}`; }
  static compare(a, b) { return a.area() - b.area(); }
}
class Circle extends Shape {
  constructor(radius) { super("circle"); this.radius = radius; }
  area() { return Math.PI * this.radius ** 2; }
}
class Rectangle extends Shape {
  constructor(width, height) { super("rectangle"); Object.assign(this, { width, height }); }
  area() { return this.width * this.height; }
}
const shapes = [new Circle(2), new Rectangle(3, 4), new Circle(1), new Rectangle(1, 0.5)];
print("classes", shapes.sort(Shape.compare).join("; "));

function* primes(limit) {
  const composite = new Set();
  for (let n = 2; n < limit; n++) {
    if (composite.has(n)) continue;
    yield n;
    for (let multiple = n * n; multiple < limit; multiple += n) composite.add(multiple);
  }
}
const found = [...primes(500)];
print("generator", found.length, found.slice(-3).join(","), found.reduce((a, b) => a + b));

const log = "2024-02-29 alice 17ms; 2023-12-01 bob 5ms; 2024-01-15 carol 230ms";
const lines = [...log.matchAll(/(?<year>\d{4})-\d\d-\d\d (?<who>\w+) (?<took>\d+)ms/g)];
print("regex", lines.map(({ groups: g }) => `${g.who}:${g.year}:${Number(g.took) * 2}`).join(" "));
print("replace", "one two  three".replace(/\s+(\w)/g, (_, letter) => letter.toUpperCase()));

const text = JSON.stringify({ list: [1, 2.5, -3e-7, null], nested: { "ключ": "значение", t: true } });
const back = JSON.parse(text, (key, value) => (typeof value === "number" ? value * 2 : value));
print("json", text, JSON.stringify(back));

let seed = 12345;
const random = () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) / 2 ** 32;
const numbers = Array.from({ length: 400 }, () => Math.floor(random() * 10000));
const sorted = numbers.toSorted((a, b) => a - b);
print("sort", sorted[0], sorted[200], sorted.at(-1), sorted.every((n, i) => i === 0 || sorted[i - 1] <= n));

const tally = new Map();
for (const n of numbers) tally.set(n % 7, (tally.get(n % 7) ?? 0) + 1);
print("map", [...tally].sort(([a], [b]) => a - b).map(([k, n]) => `${k}=${n}`).join(" "));

try {
  null.missing;
} catch (error) {
  print("exception", error instanceof TypeError, error.name);
} finally {
  print("finally");
}

print("bigint", (2n ** 127n - 1n).toString(), BigInt.asUintN(16, -1n));
const { a, ...rest } = { a: 1, b: 2, c: [3, ...[4, 5]] };
print("spread", a, JSON.stringify(rest));

const handler = { get: (target, key) => (key in target ? target[key] : `no ${String(key)}`) };
print("proxy", new Proxy({ here: "yes" }, handler).here, new Proxy({}, handler).there);

function fibonacci(n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
print("fibonacci", fibonacci(16));

(async () => {
  const values = await Promise.all([1, Promise.resolve(2), (async () => 3)()]);
  print("promise", values.join("+"));
})();
print("end of script");
