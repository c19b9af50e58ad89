/** Every request that we understand. */
import { BREAKPOINT_REQUESTS } from './breakpoint-requests';
import { MEMORY_REQUESTS } from './memory-requests';
import { MOTION_REQUESTS } from './motion-requests';
import type { Request } from './request';
import { SESSION_REQUESTS } from './session-requests';
import { STATE_REQUESTS } from './state-requests';

export const REQUESTS: ReadonlyMap<string, Request> = new Map(
  [...SESSION_REQUESTS, ...BREAKPOINT_REQUESTS, ...MOTION_REQUESTS, ...STATE_REQUESTS, ...MEMORY_REQUESTS].map((row) => [row.command, row]),
);
