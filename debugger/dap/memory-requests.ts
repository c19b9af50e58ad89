/** Memory and code. A memory reference is an expression; with * in front it is guest-physical, with ** host-physical. */
import { MemoryEvent } from '@vscode/debugadapter';
import { z } from 'zod';
import { hex, type Inspector } from '../inspector';
import { DebugError, type MemorySpace } from '../target';
import { disassembly } from './disassembly';
import { request, type Request } from './request';

const MOST_INSTRUCTIONS = 20_000;
const MOST_BYTES = 1 << 24;
const PAGE = 4096;

const offset = z.int().default(0);

interface Place {
  readonly space: MemorySpace;
  readonly address: bigint;
}

function placeOf(inspector: Inspector, reference: string, by: number): Place {
  const { space, address } = inspector.place(reference);
  return { space, address: BigInt.asUintN(64, address + BigInt(by)) };
}

/** From an address as far as it can be read. */
function readable({ session }: Inspector, { space, address }: Place, count: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let done = 0; done < count;) {
    const at = address + BigInt(done);
    const length = Math.min(count - done, PAGE - Number(at % BigInt(PAGE)));
    try {
      parts.push(session.readMemory(space, at, length));
    } catch (error) {
      if (error instanceof DebugError) break;
      throw error;
    }
    done += length;
  }
  return Buffer.concat(parts);
}

export const MEMORY_REQUESTS: readonly Request[] = [
  request(
    'disassemble',
    z.looseObject({ memoryReference: z.string(), offset, instructionOffset: offset, instructionCount: z.int().nonnegative() }),
    (context, { memoryReference, offset: bytes, instructionOffset, instructionCount }) => {
      const { inspector } = context.standing.interpreter;
      if (instructionCount + Math.abs(instructionOffset) > MOST_INSTRUCTIONS)
        throw new DebugError(`disassemble: at most ${MOST_INSTRUCTIONS} instructions from the reference`);
      const { address } = placeOf(inspector, memoryReference, bytes);
      return { body: { instructions: disassembly(inspector, address, instructionOffset, instructionCount) } };
    },
  ),

  request('readMemory', z.looseObject({ memoryReference: z.string(), offset, count: z.int().nonnegative() }), (context, args) => {
    const { inspector } = context.standing.interpreter;
    if (args.count > MOST_BYTES) throw new DebugError(`readMemory: at most ${MOST_BYTES} bytes at a time`);
    const place = placeOf(inspector, args.memoryReference, args.offset);
    const bytes = readable(inspector, place, args.count);
    const unreadable = args.count - bytes.length;
    return {
      body: {
        address: hex(place.address),
        ...(bytes.length > 0 ? { data: Buffer.from(bytes).toString('base64') } : {}),
        ...(unreadable > 0 ? { unreadableBytes: unreadable } : {}),
      },
    };
  }),

  request('writeMemory', z.looseObject({ memoryReference: z.string(), offset, data: z.base64() }), (context, args) => {
    const { session, interpreter } = context.standing;
    const { space, address } = placeOf(interpreter.inspector, args.memoryReference, args.offset);
    const bytes = Buffer.from(args.data, 'base64');
    session.writeMemory(space, address, bytes);
    return {
      body: { offset: 0, bytesWritten: bytes.length },
      after: () => {
        context.changed();
        if (context.client.supportsMemoryEvent) context.send(new MemoryEvent(args.memoryReference, args.offset, bytes.length));
      },
    };
  }),
];
