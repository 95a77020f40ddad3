// One process of a captured recording: its images (one per execve), references and events in its own total order.
//
// Models:      a cursor with a clock. The merge asks when the process goes on, and takes an event or a run from it.
// Simplified:  the moment of a record is interpolated between the stamped lines around it (about 0.5 M records apart);
//              instruction gaps are constants per kind of record, see kGaps.
// Source:      traces/README.md, "Captured planes".
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/trace/trace_input.h"
#include "sim/trace/trace_planes_events.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

// The records of one NAME.PID.SEQ.mtp.zst, block by block.
class PlaneRecords {
 public:
  explicit PlaneRecords(const std::string& file);
  std::uint64_t count() const { return count_; }
  // The records of the block that holds `index`, from `index` on. Requires: index ascends between calls, below count().
  std::span<const std::uint64_t> at(std::uint64_t index);
  // Counts what the whole file holds; reads it through, then rewinds.
  struct Counts {
    std::uint64_t switches = 0, fetches = 0;
  };
  Counts count_kinds();
  void rewind();
  void check_end();  // after the last record
  [[noreturn]] void fail(std::uint64_t index, const std::string& what) const;

 private:
  void read_header();
  std::size_t read_planes();  // the next block into bytes_; its records
  InputStream stream_;
  std::uint64_t count_ = 0;
  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint64_t> words_;
  std::uint64_t first_ = 0;  // index of words_[0]
};

struct PlaneImage {
  std::string stem;
  std::unique_ptr<PlaneRecords> records;
  PlaneEvents events;
};

// Instructions that a record stands for, by kind, where the format counts none. Lackey runs of xz, sqlite and sort have
// 3.5,
// 2.3 and 2.5 instructions per data reference. Without fetch records every data reference
// stands for 3. A fetch record stands for the entry of a superblock: 3 for it and 1 per data reference gives 2.2 to
// 3.1.
struct PlaneGaps {
  std::uint32_t fetch, data;
};
inline constexpr PlaneGaps kGapsWithFetches{3, 1}, kGapsWithoutFetches{0, 3};

class PlaneProcess {
 public:
  static constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();
  PlaneProcess(std::vector<PlaneImage> images, PlaneGaps gaps) : images_(std::move(images)), gaps_(gaps) {}

  std::uint32_t pid() const { return images_.front().events.pid; }
  const PlaneEvents& first() const { return images_.front().events; }
  std::vector<PlaneImage>& images() { return images_; }
  bool is_child =
      false;  // of another process of the recording: it starts at the fork, and its first VMAs are the parent's
  bool is_running = true;

  std::int64_t now() const;  // absolute stamp of the next item; kEnd at the end
  // The next item, of which a run stops at about `until` (but has at least one record); nullopt for a thread switch.
  // Indices are those of its file.
  std::optional<TraceItem> take(std::int64_t until, BufferPool& pool);
  void rewind();

 private:
  const PlaneImage& image() const { return images_[image_]; }
  bool has_event() const { return event_ < pending_.size() && pending_[event_].index <= at_; }
  std::int64_t stamp(std::uint64_t index) const;  // Requires: not beyond the anchor behind anchor_
  void advance_anchor();
  std::uint64_t index_at(std::int64_t ns) const;  // of the first record after at_ that is not before `ns`
  std::optional<TraceItem> take_run(std::int64_t until, BufferPool& pool);
  std::size_t convert(std::span<const std::uint64_t> words, Record* out) const;
  void start_image(std::size_t number);

  std::vector<PlaneImage> images_;
  PlaneGaps gaps_;
  std::size_t image_ = 0;
  std::vector<TraceEvent> pending_;  // of the current image, what comes before its own events included
  std::size_t event_ = 0;
  std::size_t anchor_ = 0;  // last one with index <= at_
  std::uint64_t at_ = 0;    // record of the current image
  std::uint32_t tid_ = 1;
};

}  // namespace collapsar
