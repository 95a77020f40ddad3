// SPDX-License-Identifier: GPL-2.0-or-later
//
// The buffer that references and messages are written to, in their order, and the socket it is sent through.
//
// References lie in runs of one thread. A run is open whenever the program runs; its header is filled in when a message
// or another thread follows, or the buffer is full. An empty run leaves no trace.
#include "capture.h"
#include "pub_tool_libcassert.h"
#include "pub_tool_libcbase.h"
#include "pub_tool_libcfile.h"
#include "pub_tool_libcprint.h"
#include "pub_tool_libcproc.h"
#include "pub_tool_threadstate.h"
#include "pub_tool_vkiscnums.h"

extern Int VG_(safe_fd)(Int fd);  // coregrind: moves a descriptor to where the program does not see it, close on exec

UChar stream_buffer[kBufferBytes + kSlackBytes] __attribute__((aligned(64)));
ULong* stream_at = (ULong*)stream_buffer;
Bool stream_is_active = False;

static Int socket_fd = -1;
static ULong* run_start = NULL;  // header of the open run
static ULong run_begin_ns = 0;
static UInt run_thread = 1;

static Long raw_call(ULong number, ULong a, ULong b, ULong c, ULong d, ULong e) {
  register ULong r10 __asm__("r10") = d;
  register ULong r8 __asm__("r8") = e;
  register ULong r9 __asm__("r9") = 0;
  Long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

ULong stream_now(void) {
  struct vki_timespec t;
  VG_(clock_gettime)(&t, VKI_CLOCK_MONOTONIC);
  return (ULong)t.tv_sec * 1000000000ULL + (ULong)t.tv_nsec;
}

// Whoever listens has gone: the program goes on unrecorded.
static void lose_connection(void) {
  if (socket_fd >= 0) VG_(close)(socket_fd);
  socket_fd = -1;
  stream_is_active = False;
}

static void send_all(const UChar* bytes, SizeT size) {
  const Long kInterrupted = -4;    // EINTR
  const ULong kNoSignal = 0x4000;  // MSG_NOSIGNAL
  while (size > 0 && socket_fd >= 0) {
    const Long n = raw_call(__NR_sendto, socket_fd, (ULong)bytes, size, kNoSignal, 0);
    if (n == kInterrupted) continue;
    if (n <= 0) lose_connection();
    else bytes += n, size -= n;
  }
}

static void open_run(void) {
  run_start = stream_at;
  stream_at += kSegmentHeader / sizeof(ULong);
}

static void close_run(ULong now) {
  const SizeT words = stream_at - run_start - kSegmentHeader / sizeof(ULong);
  if (words == 0) {
    stream_at = run_start;
  } else {
    run_start[0] = kReferences | (ULong)(words * sizeof(ULong) + kSegmentHeader - 8) << 32;
    run_start[1] = run_begin_ns;
    run_start[2] = now;
    run_start[3] = run_thread;
  }
  run_begin_ns = now;
}

void stream_flush(void) {
  close_run(stream_now());
  if (stream_is_active) send_all(stream_buffer, (UChar*)stream_at - stream_buffer);
  stream_at = (ULong*)stream_buffer;
  open_run();
}

VG_REGPARM(1) void stream_overflow(ULong at) {
  stream_at = (ULong*)at;
  stream_flush();
  put_position(VG_(get_running_tid)());  // a block that faults further on does not get to set it
}

void stream_thread(UInt number) {
  if (number == run_thread) return;
  close_run(stream_now());
  run_thread = number;
  open_run();
  if ((UChar*)stream_at > stream_buffer + kBufferBytes) stream_flush();
}

UInt stream_current_thread(void) { return run_thread; }

void stream_message(enum Message type, const ULong* words, UInt count, const HChar* text) {
  const HChar* name = text ? text : "";
  SizeT length = VG_(strlen)(name);
  if (length > VKI_PATH_MAX) length = VKI_PATH_MAX;
  const SizeT text_words = 1 + (length + 7) / 8;
  if ((UChar*)(stream_at + count + text_words + 64) > stream_buffer + kBufferBytes) stream_flush();
  close_run(stream_now());
  *stream_at++ = type | (ULong)((count + text_words) * sizeof(ULong)) << 32;
  for (UInt i = 0; i < count; ++i) *stream_at++ = words[i];
  *stream_at++ = length;
  stream_at[text_words - 2] = 0;
  VG_(memcpy)(stream_at, name, length);
  stream_at += text_words - 1;
  open_run();
}

// Two words: the reference, with size 0, and its true size.
void stream_kernel_access(enum RefKind kind, Addr address, SizeT size) {
  if ((UChar*)(stream_at + 2) > stream_buffer + kBufferBytes) stream_flush();
  *stream_at++ = address | (ULong)kind << kKindShift;
  *stream_at++ = size;
}

void stream_connect(Bool is_forked, UInt parent) {
  struct {
    UShort family;
    HChar path[108];
  } address = {1, {0}};  // AF_UNIX
  VG_(strncpy)(address.path, option_socket, sizeof address.path - 1);
  const Long fd = raw_call(__NR_socket, 1, 1, 0, 0, 0);  // AF_UNIX, SOCK_STREAM
  if (fd >= 0) socket_fd = VG_(safe_fd)(fd);
  if (socket_fd >= 0 && raw_call(__NR_connect, socket_fd, (ULong)&address, sizeof address, 0, 0) != 0)
    lose_connection();
  if (socket_fd < 0)
    VG_(umsg)("collapsar capture cannot be reached at %s: process %d is not recorded\n", option_socket, VG_(getpid)());
  stream_is_active = socket_fd >= 0;
  stream_at = (ULong*)stream_buffer;
  run_begin_ns = stream_now();
  open_run();
  HChar program[VKI_PATH_MAX];
  VG_(client_fname)(program, sizeof program, True);
  const ULong words[] = {kStreamVersion, VG_(getpid)(), parent, is_forked, run_thread, run_begin_ns};
  stream_message(kHello, words, 6, program);
}

void stream_disconnect(void) {
  stream_flush();
  lose_connection();
}
