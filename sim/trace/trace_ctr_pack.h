// BlockPacker: encodes, packs and writes the blocks of a `.ctr` file in a thread of its own.
//
// Order:       blocks are written in the order in which they come; at most one waits while one is packed.
// Errors:      TraceError from the file, in the next call.
// Owns:        the file and the index.
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "sim/trace/trace_ctr.h"
#include "sim/trace/trace_output.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

struct UnpackedBlock {
  BlockFrame frame;
  std::vector<Record> records;
  std::uint64_t first_reference = 0;
};

class BlockPacker {
 public:
  BlockPacker(const std::string& file, CtrPacking packing);
  ~BlockPacker();
  // Takes the block; returns an empty one, with room for kBlockReferences.
  UnpackedBlock put(UnpackedBlock block);
  // Waits for the last block, then writes footer and trailer and puts the file in its place.
  void finish(const TraceInfo& info);

 private:
  void work();
  void pack(const UnpackedBlock& block);
  void rethrow();  // what went wrong in the thread; `mutex_` is held

  OutputFile file_;
  CtrPacking packing_;
  std::vector<CtrIndexEntry> index_;
  std::vector<std::uint8_t> payload_;  // of the block before
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<UnpackedBlock> waiting_, spare_;
  bool is_packing_ = false, is_over_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace collapsar
