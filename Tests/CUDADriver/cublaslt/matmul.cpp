// To come: the stand-in for matrix products.
extern "C" {
int cublasLtCreate(...) { return 15; }
int cublasLtDestroy(...) { return 15; }
int cublasLtMatmulDescCreate(...) { return 15; }
int cublasLtMatmulDescDestroy(...) { return 15; }
int cublasLtMatmulDescSetAttribute(...) { return 15; }
int cublasLtMatrixLayoutCreate(...) { return 15; }
int cublasLtMatrixLayoutDestroy(...) { return 15; }
int cublasLtMatmulPreferenceCreate(...) { return 15; }
int cublasLtMatmulPreferenceDestroy(...) { return 15; }
int cublasLtMatmulPreferenceSetAttribute(...) { return 15; }
int cublasLtMatmulAlgoGetHeuristic(...) { return 15; }
int cublasLtMatmul(...) { return 15; }
}
