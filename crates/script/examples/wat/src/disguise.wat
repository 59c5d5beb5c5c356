;; Programs that call themselves what only the kernel's own threads are called.
(module
  (import "kestrel_v1" "field" (func $field (param i32) (result i32)))
  (import "kestrel_v1" "value_at" (func $value_at (param i32 i32) (result i32)))
  (import "kestrel_v1" "value_copy" (func $value_copy (param i32 i32 i32 i32) (result i32)))
  (import "kestrel_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (import "kestrel_v1" "emit_text" (func $emit_text (param i32 i32 i32 i32) (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 0) "a program calls itself a kernel thread")
  (data (i32.const 64) "executable")

  ;; Says for which version of the ABI it was written.
  (func (export "kestrel_abi_v1"))

  ;; Whether the first of the arguments looks like `[kworker/0:1]`. Texts are copied to 256.
  (func (export "as_kernel_thread") (param $args i32) (result i32)
    (local $first i32)
    (local $len i32)
    (local.set $first (call $value_at (local.get $args) (i32.const 0)))
    (if (i32.lt_s (local.get $first) (i32.const 0)) (then (return (i32.const 0))))
    (local.set $len
      (call $value_copy (local.get $first) (i32.const 0) (i32.const 256) (i32.const 256)))
    (if (i32.lt_s (local.get $len) (i32.const 3)) (then (return (i32.const 0))))
    (if (i32.ne (i32.load8_u (i32.const 256)) (i32.const 0x5b)) (then (return (i32.const 0))))
    (if (i32.ne (i32.load8_u offset=255 (local.get $len)) (i32.const 0x5d))
      (then (return (i32.const 0))))
    ;; A text for whoever is woken up, with the program behind the name.
    (drop (call $emit (i32.const -1) (i32.const 0) (i32.const 38)))
    (local.set $len
      (call $value_copy (call $field (i32.const 0)) (i32.const 0) (i32.const 256) (i32.const 256)))
    (drop (call $emit_text (i32.const 64) (i32.const 10) (i32.const 256) (local.get $len)))
    (i32.const 1)))
