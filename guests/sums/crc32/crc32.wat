;; What `crc32.c` is compiled to, by hand: CRC-32 as a library module with a memory of its own.
(module
  (memory 1) ;; 256 words: the sum of each byte
  (global $sum (mut i32) (i32.const 0))
  (func (export "_initialize") (local $byte i32) (local $bit i32) (local $value i32)
    (loop $bytes
      (local.set $value (local.get $byte))
      (local.set $bit (i32.const 8))
      (loop $bits
        (local.set $value
          (i32.xor
            (i32.shr_u (local.get $value) (i32.const 1))
            (i32.and
              (i32.const 0xEDB88320)
              (i32.sub (i32.const 0) (i32.and (local.get $value) (i32.const 1))))))
        (br_if $bits (local.tee $bit (i32.sub (local.get $bit) (i32.const 1)))))
      (i32.store (i32.shl (local.get $byte) (i32.const 2)) (local.get $value))
      (local.set $byte (i32.add (local.get $byte) (i32.const 1)))
      (br_if $bytes (i32.lt_u (local.get $byte) (i32.const 256)))))
  (func (export "begin") (global.set $sum (i32.const -1)))
  (func (export "take") (param $word i64) (param $bytes i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $bytes)))
        (global.set $sum
          (i32.xor
            (i32.load
              (i32.shl
                (i32.and
                  (i32.xor (global.get $sum) (i32.wrap_i64 (local.get $word)))
                  (i32.const 255))
                (i32.const 2)))
            (i32.shr_u (global.get $sum) (i32.const 8))))
        (local.set $word (i64.shr_u (local.get $word) (i64.const 8)))
        (local.set $bytes (i32.sub (local.get $bytes) (i32.const 1)))
        (br $next))))
  (func (export "end") (result i32) (i32.xor (global.get $sum) (i32.const -1))))
