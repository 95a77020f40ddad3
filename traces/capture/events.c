// SPDX-License-Identifier: GPL-2.0-or-later
//
// What Valgrind tells of the program beside its code: system calls, the kernel's accesses to its memory, threads, forks.
//
// Valgrind numbers threads by slots that it uses again; here each thread of a process has its own number, from 1.
#include "capture.h"
#include "pub_tool_libcassert.h"
#include "pub_tool_libcfile.h"
#include "pub_tool_libcproc.h"
#include "pub_tool_machine.h"
#include "pub_tool_threadstate.h"
#include "pub_tool_vkiscnums.h"

extern Bool VG_(clo_trace_children);  // coregrind: --trace-children

enum { kMostThreads = 4096 };  // slots; Valgrind itself stops at 500 unless told otherwise
static UInt thread_numbers[kMostThreads];
static UInt threads = 0;
static Bool is_announced = False;
static UInt parent_pid = 0;
static Bool has_exited = False;

static UInt number_of(ThreadId tid) { return tid < kMostThreads && thread_numbers[tid] ? thread_numbers[tid] : 1; }

// --- where the next reference goes ---

void put_position(ThreadId tid) {
  VG_(set_shadow_regs_area)(tid, 1, kPositionOffset, sizeof stream_at, (const UChar*)&stream_at);
}

// The first thing the program does: its image is in place now.
static void announce(void) {
  is_announced = True;
  stream_connect(False, VG_(getppid)());
  send_image();
}

static void start_client_code(ThreadId tid, ULong blocks) {
  if (!is_announced) announce();
  stream_thread(number_of(tid));
  put_position(tid);
}

static void stop_client_code(ThreadId tid, ULong blocks) {
  VG_(get_shadow_regs_area)(tid, (UChar*)&stream_at, 1, kPositionOffset, sizeof stream_at);
}

// --- threads ---

static void create_thread(ThreadId creator, ThreadId child) {
  tl_assert2(child < kMostThreads, "thread %u", child);
  thread_numbers[child] = ++threads;
  if (creator == VG_INVALID_THREADID) return;  // the first
  const ULong words[] = {stream_now(), number_of(creator), threads};
  stream_message(kThread, words, 3, NULL);
}

static void exit_thread(ThreadId tid) {
  if (!is_announced || has_exited) return;
  const ULong words[] = {stream_now(), number_of(tid)};
  stream_message(kThreadExit, words, 2, NULL);
}

// --- fork ---

static void before_fork(ThreadId tid) {
  stream_flush();
  parent_pid = VG_(getpid)();
}

static void fork_child(ThreadId tid) {
  stream_disconnect();
  if (!option_children) VG_(clo_trace_children) = False;
  thread_numbers[tid] = number_of(tid);
  stream_connect(True, parent_pid);
  const ULong words[] = {stream_now(), stream_current_thread()};
  stream_message(kStart, words, 2, NULL);
  stream_flush();
  stream_is_active = stream_is_active && option_children;
}

// --- system calls ---

static Bool may_block(UInt number) {
  switch (number) {
    case __NR_read:
    case __NR_poll:
    case __NR_ppoll:
    case __NR_select:
    case __NR_pselect6:
    case __NR_futex:
    case __NR_wait4:
    case __NR_waitid:
    case __NR_nanosleep:
    case __NR_clock_nanosleep:
    case __NR_accept:
    case __NR_accept4:
    case __NR_connect:
    case __NR_recvfrom:
    case __NR_recvmsg:
    case __NR_epoll_wait:
    case __NR_epoll_pwait:
    case __NR_pause:
    case __NR_rt_sigsuspend:
    case __NR_rt_sigtimedwait:
    case __NR_flock:
    case __NR_msgrcv:
    case __NR_semop:
    case __NR_io_getevents: return True;
    default: return False;
  }
}

static void before_exec(UInt thread) {
  const ULong words[] = {stream_now(), thread};
  stream_message(kExec, words, 2, NULL);
  stream_flush();
}

static Addr detached_end = 0;  // of the shared memory that the shmdt call under way lets go

static void pre_syscall(ThreadId tid, UInt number, UWord* args, UInt count) {
  const UWord kPrivateAnonymous = VKI_MAP_PRIVATE | VKI_MAP_ANONYMOUS;
  layout_is_thp_mapping = number == __NR_mmap && (args[3] & kPrivateAnonymous) == kPrivateAnonymous;
  if (number == __NR_execve || number == __NR_execveat) {
    before_exec(number_of(tid));
  } else if (number == __NR_shmdt) {
    const NSegment* s = VG_(am_find_nsegment)(args[0]);
    detached_end = s ? s->end + 1 : 0;
  } else if (may_block(number)) {
    stream_flush();
  }
}

static Bool changes_memory(UInt number) {
  switch (number) {
    case __NR_mmap:
    case __NR_mprotect:
    case __NR_munmap:
    case __NR_brk:
    case __NR_mremap:
    case __NR_madvise:
    case __NR_mlock:
    case __NR_mlock2:
    case __NR_munlock:
    case __NR_shmat:
    case __NR_shmdt:
    case __NR_prctl: return True;
    default: return False;
  }
}

// A call that changed memory, with the file behind a mapping. SysV shared memory is told as mmap and munmap.
static void send_call(ThreadId tid, UInt number, const UWord* args, UWord result) {
  ULong words[12] = {stream_now(), number_of(tid), number};
  for (UInt i = 0; i < 6; ++i) words[3 + i] = args[i];
  words[9] = result;
  const NSegment* s = number == __NR_mmap || number == __NR_shmat ? VG_(am_find_nsegment)(result) : NULL;
  const HChar* name = NULL;
  if (number == __NR_shmat && s) {
    words[2] = __NR_mmap, words[4] = s->end + 1 - s->start;
    words[5] = VKI_PROT_READ | (s->hasW ? VKI_PROT_WRITE : 0), words[6] = VKI_MAP_SHARED | VKI_MAP_ANONYMOUS;
  } else if (number == __NR_shmdt) {
    words[2] = __NR_munmap, words[4] = detached_end - args[0];
  } else if (s && s->kind == SkFileC) {
    words[10] = s->dev, words[11] = s->ino;
    name = VG_(am_get_filename)(s);
  }
  stream_message(kCall, words, 12, name);
}

static void send_fork(ThreadId tid, UInt number, const UWord* args, UWord child) {
  if (child == 0 || (number == __NR_clone && (args[0] & VKI_CLONE_THREAD))) return;
  const ULong words[] = {stream_now(), number_of(tid), child};
  stream_message(kFork, words, 3, NULL);
  stream_flush();  // the child waits for it
}

static void post_syscall(ThreadId tid, UInt number, UWord* args, UInt count, SysRes result) {
  if (sr_isError(result)) return;
  if (changes_memory(number)) send_call(tid, number, args, sr_Res(result));
  else if (number == __NR_clone || number == __NR_fork || number == __NR_vfork)
    send_fork(tid, number, args, sr_Res(result));
}

// --- the kernel's accesses to the program's memory ---

static Bool is_by_kernel(CorePart part) { return part == Vg_CoreSysCall || part == Vg_CoreSignal; }

// A call that blocked ends in its own thread, while another one's references may have been the last.
static void kernel_access(CorePart part, ThreadId tid, enum RefKind kind, Addr address, SizeT size) {
  if (!is_announced || !is_by_kernel(part) || size == 0) return;
  const UInt protection = kind == kKernelWrite ? VKI_PROT_WRITE : VKI_PROT_READ;
  if (!VG_(am_is_valid_for_client)(address, size, protection)) return;
  stream_thread(number_of(tid));
  stream_kernel_access(kind, address, size);
}

static void kernel_reads(CorePart part, ThreadId tid, const HChar* what, Addr address, SizeT size) {
  kernel_access(part, tid, kKernelRead, address, size);
}

static void kernel_reads_text(CorePart part, ThreadId tid, const HChar* what, Addr address) {
  SizeT size = 0;
  while (VG_(am_is_valid_for_client)(address + size, 1, VKI_PROT_READ)) {
    const Addr page_end = (address + size) / VKI_PAGE_SIZE * VKI_PAGE_SIZE + VKI_PAGE_SIZE;
    while (address + size < page_end)
      if (*(const HChar*)(address + size++) == 0) return kernel_access(part, tid, kKernelRead, address, size);
  }
}

static void kernel_writes(CorePart part, ThreadId tid, Addr address, SizeT size) {
  kernel_access(part, tid, kKernelWrite, address, size);
}

static void finish(Int exit_code) {
  if (!is_announced) return;
  has_exited = True;
  const ULong words[] = {stream_now(), stream_current_thread()};
  stream_message(kExit, words, 2, NULL);
  stream_disconnect();
}

static void begin(void) {}  // the image is not complete before the program starts: announce()

void register_events(void) {
  VG_(basic_tool_funcs)(begin, instrument, finish);
  VG_(needs_syscall_wrapper)(pre_syscall, post_syscall);
  VG_(track_start_client_code)(start_client_code);
  VG_(track_stop_client_code)(stop_client_code);
  VG_(track_pre_thread_ll_create)(create_thread);
  VG_(track_pre_thread_ll_exit)(exit_thread);
  VG_(track_pre_mem_read)(kernel_reads);
  VG_(track_pre_mem_read_asciiz)(kernel_reads_text);
  VG_(track_post_mem_write)(kernel_writes);
  VG_(atfork)(before_fork, NULL, fork_child);
}
