static long call(long n, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return r;
}
static char table[3 * 4096];
void _start(void) {
  long heap = call(12, 0, 0, 0, 0, 0, 0);
  call(12, heap + 0x3000, 0, 0, 0, 0, 0);
  volatile char* h = (char*)heap;
  for (int i = 0; i < 3; ++i) h[i * 4096 + 8] = 1;
  volatile char* p = (char*)call(9, 0, 16 * 4096, 3, 0x22, -1, 0);
  call(28, (long)p, 16 * 4096, 14, 0, 0, 0);
  for (int i = 0; i < 16; ++i) p[i * 4096] += 1;
  for (int i = 0; i < 3; ++i) ((volatile char*)table)[i * 4096] = p[i * 4096];
  long sum = 0;
  for (int i = 0; i < 8; ++i) sum += *(volatile long*)(p + 4096 * i + 4092);
  call(11, (long)p + 8 * 4096, 8 * 4096, 0, 0, 0, 0);
  call(231, sum & 1, 0, 0, 0, 0, 0);
}
