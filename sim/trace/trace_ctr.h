// The frame of a `.ctr` file: header, block headers, footer, trailer.
//
// Models:      file = header, blocks, footer, trailer. The trailer finds the footer, the footer's index finds the
//              blocks.
// Errors:      every byte is under a check: short headers under FNV-1a, block and footer under the checksum of their
//              zstd frame, all references and events together under the content hash.
// Source:      traces/README.md.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/trace/trace_block.h"

namespace collapsar {

inline constexpr std::array<std::uint8_t, 8> kCtrMagic = {0x89, 'C', 'T', 'R', '\r', '\n', 0x1a, '\n'};
inline constexpr std::array<std::uint8_t, 8> kCtrEnd = {'C', 'T', 'R', ' ', 'e', 'n', 'd', '\n'};
inline constexpr std::uint32_t kCtrVersion = 1;
inline constexpr std::size_t kCtrHeaderBytes = 32;  // magic, version, block references, page size, 0, check
inline constexpr std::size_t kCtrBlockHeaderBytes =
    32;  // "BLK1" or "BLK+", packed, unpacked, references, first reference, check
inline constexpr std::size_t kCtrTrailerBytes = 40;           // footer offset, packed, unpacked, check, end magic
inline constexpr std::uint32_t kCtrBlockMark = 0x314B4C42;    // "BLK1"
inline constexpr std::uint32_t kCtrChainedMark = 0x2B4B4C42;  // "BLK+"
inline constexpr std::size_t kCtrChain = 16;  // every so many blocks one is packed alone: reading can start there
inline constexpr std::uint64_t kCtrFooterBytes = 1ULL << 28;  // most a footer may unpack to: 10 M blocks
// Most of what a footer may list that takes more memory than bytes: a few zeros, packed, could stand for millions.
inline constexpr std::uint64_t kCtrNotes = 1u << 16;
inline constexpr std::uint64_t kCtrResidentProcesses = 1u << 16;
inline constexpr std::uint64_t kCtrResidentRanges = 1u << 23;  // 128 MiB; 32 GiB of memory, every other page of it

struct CtrIndexEntry {
  std::uint64_t offset = 0;  // of the block header in the file
  std::uint64_t first_reference = 0;
  std::uint32_t references = 0;
  std::uint32_t packed = 0, unpacked = 0;  // bytes of the block after its header, and decompressed
  std::int64_t first_stamp_ns = 0;
  bool has_events = false;
  bool is_chained = false;  // packed with the unpacked bytes of the block before as prefix: half the size
};

struct CtrFooter {
  TraceInfo info;  // name and format are the reader's
  std::vector<CtrIndexEntry> index;
};

std::vector<std::uint8_t> encode_ctr_header();
std::vector<std::uint8_t> encode_ctr_block_header(const CtrIndexEntry& entry);
std::vector<std::uint8_t> encode_ctr_footer(const CtrFooter& footer);
// `blocks`: the most that the file has room for, which bounds the memory taken. Throws Malformed.
CtrFooter decode_ctr_footer(std::span<const std::uint8_t> bytes, std::uint64_t blocks);

}  // namespace collapsar
