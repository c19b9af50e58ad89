/** Running and stepping, forward and backward. "instruction" is the smallest step; "statement" and "line" are the way to the next VM exit. */
import { z } from 'zod';
import type { Session } from '../session';
import { stepOut } from '../step-out';
import type { Motion } from '../target';
import { request, THREAD, type DapContext, type Reply, type Request } from './request';

const STEP = z.looseObject({ granularity: z.enum(['statement', 'line', 'instruction']).default('statement') });
const ANY = z.looseObject({});

/** A machine without VM exits has nothing between its instructions. */
function makesExits({ timeline: { guest } }: Session): boolean {
  return guest.machine.vmx !== undefined || guest.machine.svm !== undefined;
}

const step = (command: string, instruction: (session: Session) => Motion, exit: (session: Session) => Motion, backward = false): Request =>
  request(command, STEP, (context, { granularity }) => {
    const { session } = context.standing;
    const motion = granularity === 'instruction' || !makesExits(session) ? instruction(session) : exit(session);
    return begin(context, motion, backward);
  });

/** The motion begins when the client knows that it was understood. */
const begin = (context: DapContext, motion: Motion, backward = false): Reply => ({ after: () => context.move(motion, backward) });

export const MOTION_REQUESTS: readonly Request[] = [
  request('continue', ANY, (context) => {
    const { session } = context.standing;
    return { ...begin(context, session.resume()), body: { allThreadsContinued: true } };
  }),
  request('reverseContinue', ANY, (context) => {
    const { session } = context.standing;
    return begin(context, session.reverseResume(), true);
  }),
  step(
    'next',
    (session) => session.next(),
    (session) => session.stepExit(),
  ),
  step(
    'stepIn',
    (session) => session.step(),
    (session) => session.stepExit(),
  ),
  step(
    'stepBack',
    (session) => session.reverseStep(),
    (session) => session.reverseExit(),
    true,
  ),
  // Out of a function, whatever it executes on the way.
  request('stepOut', ANY, (context) => {
    const { session } = context.standing;
    return begin(context, stepOut(session));
  }),
  request('pause', z.looseObject({ threadId: z.literal(THREAD, { error: `there is one thread: ${THREAD}` }).optional() }), (context) => ({
    after: () => context.pause(),
  })),
];
