"""What the estimators' docstrings refer to, in alphabetical order.

Apart from `docs`, because a new rule adds its source here and nothing else.
"""

REFERENCES = """
Ba, J. L., Kiros, J. R. and Hinton, G. E. (2016). Layer normalization.
arXiv:1607.06450.

Chen, X. et al. (2023). Symbolic discovery of optimization algorithms. NeurIPS.

Dozat, T. (2016). Incorporating Nesterov momentum into Adam. ICLR workshop.

Duchi, J., Hazan, E. and Singer, Y. (2011). Adaptive subgradient methods for online
learning and stochastic optimization. JMLR.

Glorot, X. and Bengio, Y. (2010). Understanding the difficulty of training deep
feedforward neural networks. AISTATS.

Holzmüller, D., Grinsztajn, L. and Steinwart, I. (2024). Better by default: strong
pre-tuned MLPs and boosted trees on tabular data. NeurIPS.

Ioffe, S. and Szegedy, C. (2015). Batch normalization: accelerating deep network
training by reducing internal covariate shift. ICML.

Jacot, A., Gabriel, F. and Hongler, C. (2018). Neural tangent kernel: convergence and
generalization in neural networks. NeurIPS.

King, G. and Zeng, L. (2001). Logistic regression in rare events data. Political
Analysis.

Kingma, D. P. and Ba, J. (2014). Adam: a method for stochastic optimization.
arXiv:1412.6980.

Lin, T.-Y., Goyal, P., Girshick, R., He, K. and Dollár, P. (2017). Focal loss for dense
object detection. ICCV.

Loshchilov, I. and Hutter, F. (2017). SGDR: stochastic gradient descent with warm
restarts. ICLR.

Loshchilov, I. and Hutter, F. (2019). Decoupled weight decay regularization. ICLR.

McCullagh, P. (1980). Regression models for ordinal data. JRSS B.

Menon, A. K., Jayasumana, S., Rawat, A. S., Jain, H., Veit, A. and Kumar, S. (2021).
Long-tail learning via logit adjustment. ICLR.

Peterson, B. and Harrell, F. E. (1990). Partial proportional odds models for ordinal
response variables. JRSS C.

Polyak, B. T. (1964). Some methods of speeding up the convergence of iteration
methods. USSR Computational Mathematics and Mathematical Physics.

Pascanu, R., Mikolov, T. and Bengio, Y. (2013). On the difficulty of training
recurrent neural networks. ICML.

Reddi, S. J., Kale, S. and Kumar, S. (2018). On the convergence of Adam and beyond.
ICLR.

Saerens, M., Latinne, P. and Decaestecker, C. (2002). Adjusting the outputs of a
classifier to new a priori probabilities. Neural Computation.

Smith, L. N. and Topin, N. (2018). Super-convergence: very fast training of neural
networks using large learning rates. arXiv:1708.07120.

Srivastava, N., Hinton, G., Krizhevsky, A., Sutskever, I. and Salakhutdinov, R.
(2014). Dropout: a simple way to prevent neural networks from overfitting. JMLR.

Sutskever, I., Martens, J., Dahl, G. and Hinton, G. (2013). On the importance of
initialization and momentum in deep learning. ICML.

Tieleman, T. and Hinton, G. (2012). Lecture 6.5: RMSProp. Coursera, neural networks for
machine learning.

Zeiler, M. D. (2012). ADADELTA: an adaptive learning rate method. arXiv:1212.5701.
"""
