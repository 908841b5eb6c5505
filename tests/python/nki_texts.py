"""NKI texts that tests and the benchmark suite share: small hand-written kernels of the GA dialect."""

HEAD = "import nki\nimport nki.language as nl\nimport nki.isa as nisa\n\n"

MATMUL = HEAD + '''
@nki.jit
def matmul_exp(lhsT, rhs):
    K, M = lhsT.shape
    _, N = rhs.shape
    out = nl.ndarray((M, N), dtype=nl.float32, buffer=nl.shared_hbm)
    for mo in range(0, M, 128):
        mt = min(128, M - mo)
        for no in range(0, N, 512):
            nt = min(512, N - no)
            acc = nl.ndarray((mt, nt), dtype=nl.float32, buffer=nl.psum)
            for ko in range(0, K, 128):
                kt = min(128, K - ko)
                a = nl.ndarray((kt, mt), dtype=lhsT.dtype, buffer=nl.sbuf)
                b = nl.ndarray((kt, nt), dtype=rhs.dtype, buffer=nl.sbuf)
                nisa.dma_copy(dst=a, src=lhsT[ko:ko+kt, mo:mo+mt])
                nisa.dma_copy(dst=b, src=rhs[ko:ko+kt, no:no+nt])
                nisa.nc_matmul(dst=acc, stationary=a, moving=b)
            s = nl.ndarray((mt, nt), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=s, data=acc, op0=nl.multiply, operand0=0.01)
            nisa.activation(dst=s, op=nl.exp, data=s)
            nisa.dma_copy(dst=out[mo:mo+mt, no:no+nt], src=s)
    return out
'''

SOFTMAX = HEAD + '''
@nki.jit
def softmax(x):
    R, C = x.shape
    y = nl.ndarray((R, C), dtype=x.dtype, buffer=nl.shared_hbm)
    for ro in range(0, R, 128):
        rt = min(128, R - ro)
        t = nl.ndarray((rt, C), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=t, src=x[ro:ro+rt, :])
        top = nl.ndarray((rt, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=top, op=nl.maximum, data=t, axis=1, negate=True)
        e = nl.ndarray((rt, C), dtype=nl.float32, buffer=nl.sbuf)
        total = nl.ndarray((rt, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=e, op=nl.exp, data=t, bias=top, reduce_op=nl.add, reduce_res=total,
                        reduce_cmd=nisa.reduce_cmd.reset_reduce)
        inverse = nl.ndarray((rt, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.reciprocal(dst=inverse, data=total)
        o = nl.ndarray((rt, C), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=o, data=e, op0=nl.multiply, operand0=inverse)
        nisa.dma_copy(dst=y[ro:ro+rt, :], src=o)
    return y
'''

LAYERNORM = HEAD + '''
@nki.jit
def layernorm(x, g, b, eps):
    R, C = x.shape
    y = nl.ndarray((R, C), dtype=nl.float32, buffer=nl.shared_hbm)
    one = nl.ndarray((1, 128), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=one, value=1.0)
    rows = nl.ndarray((1, 2 * C), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=rows[0:1, 0:C], src=g.reshape((1, C)))
    nisa.dma_copy(dst=rows[:, C:2*C], src=b.reshape((1, C)))
    wide = nl.ndarray((128, 2 * C), dtype=nl.float32, buffer=nl.sbuf)
    for co in range(0, 2 * C, 512):
        ct = min(512, 2 * C - co)
        spread = nl.ndarray((128, ct), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=spread, stationary=one, moving=rows[:, co:co+ct])
        nisa.tensor_copy(dst=wide[:, co:co+ct], src=spread)
    for ro in range(0, R, 128):
        rt = min(128, R - ro)
        t = nl.ndarray((rt, C), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=t, src=x[ro:ro+rt, :])
        n = (C + 511) // 512
        parts = nl.ndarray((rt, 6 * n), dtype=nl.float32, buffer=nl.sbuf)
        for i in range(n):
            nisa.bn_stats(dst=parts[:, 6*i:6*i+6], data=t[:, 512*i:min(C, 512*i+512)])
        moments = nl.ndarray((rt, 2), dtype=nl.float32, buffer=nl.sbuf)
        nisa.bn_aggr(dst=moments, data=parts)
        scale = nl.ndarray((rt, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=scale, op=nl.rsqrt, data=moments[:, 1:2], bias=eps)
        nisa.tensor_scalar(dst=t, data=t, op0=nl.subtract, operand0=moments[:, 0:1], op1=nl.multiply, operand1=scale)
        nisa.tensor_tensor(dst=t, data1=t, data2=wide[0:rt, 0:C], op=nl.multiply)
        nisa.tensor_tensor(dst=t, data1=t, data2=wide[0:rt, C:2*C], op=nl.add)
        nisa.dma_copy(dst=y[ro:ro+rt, :], src=t)
    return y
'''

TRANSPOSE = HEAD + '''
@nki.jit
def transpose(x):
    R, C = x.shape
    y = nl.ndarray((C, R), dtype=x.dtype, buffer=nl.shared_hbm)
    for r in range(0, R, 128):
        rt = min(128, R - r)
        for c in range(0, C, 128):
            ct = min(128, C - c)
            t = nl.ndarray((rt, ct), dtype=x.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=t, src=x[r:r+rt, c:c+ct])
            p = nl.ndarray((ct, rt), dtype=x.dtype, buffer=nl.psum)
            nisa.nc_transpose(dst=p, data=t)
            o = nl.ndarray((ct, rt), dtype=x.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=o, src=p, engine=nisa.engine.scalar)
            nisa.dma_copy(dst=y[c:c+ct, r:r+rt], src=o)
    return y
'''

# Causal attention of one head: q, k [d, n] and v [n, d], blocks of 128 queries, a running maximum.
ATTENTION = HEAD + '''
@nki.jit
def attention(qT, kT, v, scale):
    D, N = qT.shape
    y = nl.ndarray((N, D), dtype=nl.float32, buffer=nl.shared_hbm)
    for qo in range(0, N, 128):
        qt = min(128, N - qo)
        q = nl.ndarray((D, qt), dtype=qT.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=q, src=qT[:, qo:qo+qt])
        top = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
        total = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
        acc = nl.ndarray((qt, D), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=top, value=-3.0e38)
        nisa.memset(dst=total, value=0.0)
        nisa.memset(dst=acc, value=0.0)
        for ko in range(0, qo + qt, 128):
            kt = min(128, N - ko)
            k = nl.ndarray((D, kt), dtype=kT.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=k, src=kT[:, ko:ko+kt])
            w = nl.ndarray((kt, D), dtype=v.dtype, buffer=nl.sbuf)
            nisa.dma_copy(dst=w, src=v[ko:ko+kt, :])
            raw = nl.ndarray((qt, kt), dtype=nl.float32, buffer=nl.psum)
            nisa.nc_matmul(dst=raw, stationary=q, moving=k)
            s = nl.ndarray((qt, kt), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=s, data=raw, op0=nl.multiply, operand0=scale)
            if ko + kt > qo:
                nisa.affine_select(dst=s, pattern=[[-1, kt]], offset=qo - ko, channel_multiplier=1, on_true_tile=s,
                                   on_false_value=-3.0e38, cmp_op=nl.greater_equal)
            here = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_reduce(dst=here, op=nl.maximum, data=s, axis=(1,))
            new = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_tensor(dst=new, data1=top, data2=here, op=nl.maximum)
            down = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_scalar(dst=down, data=new, op0=nl.multiply, operand0=-1.0)
            fade = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.activation(dst=fade, op=nl.exp, data=top, bias=down)
            nisa.tensor_copy(dst=top, src=new)
            p = nl.ndarray((qt, kt), dtype=nl.float32, buffer=nl.sbuf)
            part = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.activation_reduce(dst=p, op=nl.exp, data=s, reduce_op=nl.add, reduce_res=part, bias=down)
            nisa.scalar_tensor_tensor(dst=total, data=total, op0=nl.multiply, operand0=fade, op1=nl.add, operand1=part)
            turned = nl.ndarray((kt, qt), dtype=nl.float32, buffer=nl.psum)
            nisa.nc_transpose(dst=turned, data=p)
            pT = nl.ndarray((kt, qt), dtype=v.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=pT, src=turned)
            o = nl.ndarray((qt, D), dtype=nl.float32, buffer=nl.psum)
            nisa.nc_matmul(dst=o, stationary=pT, moving=w)
            nisa.scalar_tensor_tensor(dst=acc, data=acc, op0=nl.multiply, operand0=fade, op1=nl.add, operand1=o)
        inverse = nl.ndarray((qt, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.reciprocal(dst=inverse, data=total)
        nisa.tensor_scalar(dst=acc, data=acc, op0=nl.multiply, operand0=inverse)
        nisa.dma_copy(dst=y[qo:qo+qt, :], src=acc)
    return y
'''


def kernel(body, parameters="x"):
    """A kernel `k(x)` of lines that may use `x` (128 x 256, f32) and must return an output."""
    lines = "\n".join("    " + line for line in body.strip("\n").split("\n"))
    return f"{HEAD}@nki.jit\ndef k({parameters}):\n{lines}\n"
