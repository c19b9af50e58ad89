import type { ExitHandler } from '../routes';

/** XSETBV: the processor model knows which values of XCR0 are legal. */
export const handleXsetbv: ExitHandler<'xsetbv'> = (vcpu) => vcpu.emulate();
