// DramStream: the address streams that DRAM simulators are compared on, and a driver that feeds one to a Dram alone.
//
// Models:      seq 64 i; stride4096 and stride8192 modulo 2^32; rand: the low 32 bits of splitmix64 from state 1, 64-byte
//              aligned. Reads, one every so many memory cycles, or saturated: more than the queues hold, all the time.
// Time:        its own event queue, from time 0.
// Source:      ours; splitmix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
#pragma once

#include <cstdint>
#include <string_view>

#include "models/mem/dram_config.h"

namespace collapsar {

enum class DramStream : std::uint8_t { seq, rand, stride4096, stride8192 };
std::string_view name_of(DramStream stream);

// The addresses of a stream, in order.
class DramStreamAddresses {
 public:
  explicit DramStreamAddresses(DramStream stream) : stream_(stream) {}
  std::uint64_t next();

 private:
  DramStream stream_;
  std::uint64_t i_ = 0, state_ = 1;
};

struct DramStreamResult {
  double latency = 0;             // mean from submit to the last beat of data, memory-clock cycles
  double row_hit_share = 0;       // of all requests
  double cycles_per_request = 0;  // from the first submit to the last data
  DramStats stats;
};

// Feeds `reads` reads to a memory of its own, one every `interval` memory-clock cycles; 0 = saturated.
// Requires: config.validate() passes, no config.ideal.
DramStreamResult run_dram_stream(const DramConfig& config, DramStream stream, std::uint64_t reads,
                                 std::uint32_t interval);

// The memory on which other simulators were measured: DDR4-2400, 16-16-16, one channel, one rank, open page,
// RoBaRaCoCh, queue of 32.
DramConfig dram_reference_config();

}  // namespace collapsar
