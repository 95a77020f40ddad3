// A plugin for QEMU's user mode: writes down each instruction that a program executes and each access it makes.
//
//   gcc -shared -fPIC -O2 -o qemu_records.so qemu_records.c
//   qemu-x86_64 -plugin file=./qemu_records.so,out=FILE PROGRAM
//
// FILE:        records of 16 bytes, little-endian, in the order of execution; an access stands behind its instruction.
// Simplified:  what the kernel reads and writes in system calls is missing: QEMU does not tell. Accesses of more than 8
//              bytes come in pieces. Not for programs that fork: both processes would write into FILE.
// Source:      "QEMU TCG Plugins" in the documentation of QEMU 7.2, and the functions that Debian's qemu-x86_64 exports.
//              Debian has no header for plugins: what is used of the interface, version 1, is declared here from its
//              description. Nothing of QEMU, which is under the GPL, is in this file or linked with it.
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// --- what QEMU offers ---
typedef uint64_t plugin_id;
struct qemu_plugin_tb;    // a block of translated code
struct qemu_plugin_insn;  // one instruction in it
enum { kNoRegisters = 0, kReadsAndWrites = 3 };
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*call)(plugin_id, struct qemu_plugin_tb* block));
void qemu_plugin_register_atexit_cb(plugin_id id, void (*call)(plugin_id, void* data), void* data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb* block, size_t number);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn* instruction);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn* instruction);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn* instruction,
                                            void (*call)(unsigned cpu, void* data), int registers, void* data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn* instruction,
                                      void (*call)(unsigned cpu, uint32_t access, uint64_t address, void* data),
                                      int registers, int direction, void* data);
unsigned qemu_plugin_mem_size_shift(uint32_t access);
_Bool qemu_plugin_mem_is_store(uint32_t access);

// --- what it asks for ---
int qemu_plugin_version = 1;
int qemu_plugin_install(plugin_id id, const void* about_qemu, int count, char** options);

enum kind { kFetch, kLoad, kStore };
struct record {
  uint64_t address;
  uint32_t thread;
  uint16_t size, kind;
};

static FILE* out;

// fwrite takes the file's lock: records of several threads stand one behind the other.
static void write_record(uint64_t address, size_t size, enum kind kind) {
  static __thread pid_t thread;
  if (thread == 0) thread = gettid();
  const struct record record = {address, (uint32_t)thread, (uint16_t)size, kind};
  fwrite(&record, sizeof record, 1, out);
}

// `data`: the address, with the instruction's size in the highest byte, which addresses of programs leave free.
enum { kSizeShift = 56 };

static void on_instruction(unsigned cpu, void* data) {
  (void)cpu;
  const uint64_t packed = (uint64_t)data;
  write_record(packed & ((1ULL << kSizeShift) - 1), packed >> kSizeShift, kFetch);
}

static void on_access(unsigned cpu, uint32_t access, uint64_t address, void* data) {
  (void)cpu, (void)data;
  write_record(address, (size_t)1 << qemu_plugin_mem_size_shift(access),
               qemu_plugin_mem_is_store(access) ? kStore : kLoad);
}

static void on_translation(plugin_id id, struct qemu_plugin_tb* block) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); ++i) {
    struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
    const uint64_t packed = qemu_plugin_insn_vaddr(instruction) | (uint64_t)qemu_plugin_insn_size(instruction)
                                                                      << kSizeShift;
    qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_instruction, kNoRegisters, (void*)packed);
    qemu_plugin_register_vcpu_mem_cb(instruction, on_access, kNoRegisters, kReadsAndWrites, NULL);
  }
}

// QEMU leaves without exit(3), which would do this.
static void on_exit_of_program(plugin_id id, void* data) {
  (void)id, (void)data;
  if (fflush(out) == 0 && !ferror(out)) return;
  perror("qemu_records");
  _exit(1);
}

int qemu_plugin_install(plugin_id id, const void* about_qemu, int count, char** options) {
  (void)about_qemu;
  for (int i = 0; i < count; ++i)
    if (strncmp(options[i], "out=", 4) == 0) out = fopen(options[i] + 4, "wb");
  if (out == NULL) return perror("qemu_records: out=FILE"), 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_atexit_cb(id, on_exit_of_program, NULL);
  return 0;
}
