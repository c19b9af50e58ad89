/** Instructions around an address, behind it and in front of it; x86 code can only be read forward, so what stands before is searched. */
import { disassemble, type Disassembled } from '../disassembler';
import { hex, type Inspector } from '../inspector';
import { DebugError } from '../target';

const LONGEST_INSTRUCTION = 15;
const PAGE = 0x1000n;
const TOP = 1n << 64n;

/** As many bytes as are mapped right in front of an address, at most `wanted`. */
function bytesBefore({ session }: Inspector, address: bigint, wanted: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let end = address;
  let length = 0;
  while (length < wanted && end > 0n) {
    const page = (end - 1n) & ~(PAGE - 1n);
    const lowest = address - BigInt(wanted);
    const from = page > lowest ? page : lowest < 0n ? 0n : lowest;
    try {
      parts.unshift(session.readMemory('virtual', from, Number(end - from)));
    } catch (error) {
      if (error instanceof DebugError) break;
      throw error;
    }
    length += Number(end - from);
    end = from;
  }
  return Buffer.concat(parts);
}

/** The instructions of `bytes` from `start` on, if one ends where the bytes do. */
function endingThere(bytes: Uint8Array, start: number, address: bigint, bits: 16 | 32 | 64): Disassembled[] | undefined {
  const tail = bytes.subarray(start);
  const first = address - BigInt(tail.length);
  const lines = disassemble(tail, first, bits, tail.length);
  const last = lines.at(-1);
  return last !== undefined && last.address + BigInt(last.bytes.length) === address ? lines : undefined;
}

/** The `count` instructions before an address, or as many as are found; the nearest last. */
export function codeBefore(inspector: Inspector, address: bigint, count: number): Disassembled[] {
  if (count <= 0) return [];
  const bits = inspector.session.processor.cpu().codeSize;
  const bytes = bytesBefore(inspector, address, count * LONGEST_INSTRUCTION);
  // A symbol is where an instruction begins for certain.
  const symbol = inspector.symbols?.at(address - 1n);
  const known = symbol === undefined ? [] : [bytes.length - symbol.offset - 1];
  const starts = [...known.filter((start) => start >= 0), ...Array(Math.min(LONGEST_INSTRUCTION, bytes.length)).keys()];
  let best: Disassembled[] = [];
  for (const start of starts) {
    const lines = endingThere(bytes, start, address, bits) ?? [];
    if (lines.length > best.length) best = lines;
    // Reading goes astray at first, and is right after a few instructions, wherever it began.
    if (best.length >= count) break;
  }
  return best.slice(-count);
}

/** The `count` instructions from an address on, or as many as are mapped. */
export function codeFrom(inspector: Inspector, address: bigint, count: number): Disassembled[] {
  if (count <= 0 || address >= TOP) return [];
  try {
    return inspector.code(address, count);
  } catch (error) {
    if (error instanceof DebugError) return [];
    throw error;
  }
}

export interface DapInstruction {
  readonly address: string;
  readonly instructionBytes?: string;
  readonly instruction: string;
  readonly symbol?: string;
  readonly presentationHint?: 'normal' | 'invalid';
}

const unknown = (address: bigint): DapInstruction => ({ address: hex(BigInt.asUintN(64, address)), instruction: '??', presentationHint: 'invalid' });

/** Exactly `count` rows, the first one `skip` instructions behind `address` (before it, if negative); what cannot be read is "??". */
export function disassembly(inspector: Inspector, address: bigint, skip: number, count: number): DapInstruction[] {
  const before = codeBefore(inspector, address, Math.max(0, -skip));
  const after = codeFrom(inspector, address, Math.max(0, skip + count));
  const missingBefore = Math.max(0, -skip) - before.length;
  const lowest = before.at(0)?.address ?? address;
  const rows = [
    ...Array.from({ length: missingBefore }, (_, n) => unknown(lowest - BigInt(missingBefore - n))),
    ...[...before, ...after].map((line) => known(inspector, line)),
  ];
  const highest = after.at(-1);
  let end = highest === undefined ? address : highest.address + BigInt(highest.bytes.length);
  const from = Math.max(0, skip);
  while (rows.length < from + count) rows.push(unknown(end++));
  return rows.slice(from, from + count);
}

function known(inspector: Inspector, { address, bytes, text, target }: Disassembled): DapInstruction {
  const symbol = inspector.symbols?.at(address);
  return {
    address: hex(address),
    instructionBytes: Buffer.from(bytes)
      .toString('hex')
      .replace(/..(?=.)/g, '$& '),
    instruction: `${text}${target === undefined ? '' : inspector.near(target)}`,
    ...(symbol?.offset === 0 ? { symbol: symbol.name } : {}),
  };
}
