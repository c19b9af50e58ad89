import { JUMP_CACHE_BITS } from '../layout';
import { type Value, I32, add, c32, shl, shr, wrap } from './wasm';

/** Odd: addresses that differ have products that differ. */
export const HASH_FACTOR = 0x9e37_79b1;

/** Jump-cache entry of a linear address, as a host address without the JUMP_CACHE offset. Fibonacci hashing: aligned entries must not collide. */
export const jumpSlot = (cpu: Value, linear: Value): Value => add(cpu, shl(shr(mulHash(linear), c32(32 - JUMP_CACHE_BITS)), c32(4)));
const mulHash = (linear: Value): Value => ({ op: 0x6c, type: I32, operands: [wrap(linear), c32(HASH_FACTOR)] });
/** The same slot number for TypeScript. */
export const jumpIndex = (linearLow: number): number => Math.imul(linearLow, HASH_FACTOR) >>> (32 - JUMP_CACHE_BITS);
